//! The operator's guide holds every variable.

use clap::CommandFactory;

use super::Cli;

const GUIDE: &str = include_str!("../../docs/operations.md");

#[test]
fn every_variable_stands_in_a_table_of_the_guide() {
    let rows: Vec<&str> = GUIDE.lines().filter(|line| line.starts_with("| `")).collect();
    let mut commands = vec![Cli::command()];
    let mut variables = 0;
    while let Some(command) = commands.pop() {
        for argument in command.get_arguments() {
            let Some(variable) = argument.get_env().and_then(|variable| variable.to_str()) else { continue };
            let variable = format!("`{variable}`");
            assert!(rows.iter().any(|row| row.contains(&variable)), "docs/operations.md lacks {variable}");
            variables += 1;
        }
        commands.extend(command.get_subcommands().cloned());
    }
    assert!(variables > 10, "the variables are found");
}
