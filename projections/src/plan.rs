//! How PostgreSQL would answer a statement, as far as it matters here: what it scans, by which index, and what it sorts.

use std::collections::BTreeSet;

use serde_json::Value;

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan(Value);

impl Plan {
    /// As `explain (format json)` tells it.
    #[must_use]
    pub const fn new(explained: Value) -> Self {
        Self(explained)
    }

    /// The tables that are read from their first row to their last.
    #[must_use]
    pub fn sequential_scans(&self) -> Vec<String> {
        let scans = self.nodes().into_iter().filter(|node| text(node, "Node Type").ends_with("Seq Scan"));
        scans.map(|node| text(node, "Relation Name").to_owned()).collect()
    }

    /// The indexes that are used, by name.
    #[must_use]
    pub fn indexes(&self) -> BTreeSet<String> {
        self.nodes().into_iter().filter_map(|node| node.get("Index Name")?.as_str()).map(str::to_owned).collect()
    }

    /// The most rows that a sort is expected to take in; 0 without one. What an index has sorted already but for ties
    /// does not count.
    #[must_use]
    pub fn largest_sort_rows(&self) -> u64 {
        let sorts = self.nodes().into_iter().filter(|node| text(node, "Node Type") == "Sort");
        sorts.filter_map(|node| node.get("Plan Rows")?.as_u64()).max().unwrap_or(0)
    }

    /// Every step of it, the outermost first.
    fn nodes(&self) -> Vec<&Value> {
        let mut waiting: Vec<&Value> =
            self.0.as_array().into_iter().flatten().filter_map(|one| one.get("Plan")).collect();
        let mut nodes = Vec::new();
        while let Some(node) = waiting.pop() {
            waiting.extend(node.get("Plans").and_then(Value::as_array).into_iter().flatten());
            nodes.push(node);
        }
        nodes
    }
}

fn text<'p>(node: &'p Value, key: &str) -> &'p str {
    node.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// As PostgreSQL writes it.
impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Plan;

    #[test]
    fn scans_indexes_and_sorts_are_found_at_any_depth() {
        let plan = Plan::new(serde_json::json!([{ "Plan": {
            "Node Type": "Limit", "Plans": [{
                "Node Type": "Sort", "Plan Rows": 70, "Plans": [
                    { "Node Type": "Seq Scan", "Relation Name": "loans" },
                    { "Node Type": "Bitmap Heap Scan", "Relation Name": "customers", "Plans": [
                        { "Node Type": "Bitmap Index Scan", "Index Name": "customers_pkey" }] }] }],
        } }]));
        assert_eq!(plan.sequential_scans(), ["loans"]);
        assert_eq!(plan.indexes().into_iter().collect::<Vec<_>>(), ["customers_pkey"]);
        assert_eq!(plan.largest_sort_rows(), 70);
    }
}
