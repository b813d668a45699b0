//! Made-up customers. Each is drawn from a stream of random numbers of its own, so that the loans' workbook knows its
//! borrowers without keeping them in memory.

use aggregates::money::Money;
use aggregates::person::MonthlyIncome;
use rust_decimal::Decimal;

use super::GenerateError;
use super::draw::{Draw, Stream, scattered};

const AGES: (u64, u64) = (20, 70);
const SALARY_THOUSANDS: (u64, u64) = (15, 300);
/// Ten digits from 6 to 9.
const FIRST_PHONE: u64 = 6_000_000_000;
const PHONES: u64 = 4_000_000_000;
const FIRST_NAMES: &str = "\
    Aarav Aditi Ahmed Amelia Ananya Arjun Bianca Carlos Chiara Daniel Deepa Elena Farah Fatima Gabriel \
    Gurpreet Hannah Harsh Ines Isha Jorge Kavya Kiran Lakshmi Lucía Manish Meera Mohammed Nadia Neha \
    Noah Olivia Pooja Priya Rahul Ravi Rohan Sana Siddharth Sofia Tanvi Usha Vikram Zoë अनिता ராஜேஷ் 美玲 \
    Юлия";
const LAST_NAMES: &str = "\
    Acharya Banerjee Bose Chatterjee Chopra D'Souza Das Desai Fernandes García Ghosh Gupta Hussain Iyer \
    Jain Joshi Kapoor Khan Kulkarni Kumar Malhotra Mehta Menon Mishra Mukherjee Nair Naidu O'Brien Patel \
    Patil Pereira Pillai Rao Reddy Rodrigues Saxena Sen Shah Sharma Silva Singh Sinha Thomas Verma शर्मा \
    குமார் 王 Müller-Lüdenscheidt";

/// Everybody, by number.
pub(super) struct People {
    seed: u64,
    first_phone: u64,
    first_names: Vec<&'static str>,
    last_names: Vec<&'static str>,
}

pub(super) struct Person {
    pub(super) first_name: &'static str,
    pub(super) last_name: &'static str,
    pub(super) age: u32,
    pub(super) phone_number: u64,
    /// Rupees a month.
    pub(super) income: u64,
    pub(super) limit: Money,
    /// Of a hundred instalments, how many are paid on time.
    pub(super) punctuality: u64,
}

impl People {
    pub(super) fn new(seed: u64) -> Self {
        let first_phone = Draw::new(seed, Stream::People).below(PHONES);
        let (first_names, last_names) = (FIRST_NAMES.split(' ').collect(), LAST_NAMES.split(' ').collect());
        Self { seed, first_phone, first_names, last_names }
    }

    pub(super) fn person(&self, number: u32) -> Result<Person, GenerateError> {
        let mut draw = Draw::new(self.seed, Stream::Person(number));
        let income = draw.low_between(SALARY_THOUSANDS) * 1_000;
        Ok(Person {
            first_name: draw.pick(&self.first_names),
            last_name: draw.pick(&self.last_names),
            age: u32::try_from(draw.between(AGES)).unwrap_or_default(),
            phone_number: FIRST_PHONE + scattered(self.first_phone, u64::from(number), PHONES),
            income,
            limit: MonthlyIncome::try_from(Decimal::from(income))?.approved_limit()?,
            punctuality: 100 - draw.low_between((0, 50)),
        })
    }
}
