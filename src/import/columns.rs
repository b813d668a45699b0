//! The columns of the two workbooks, and how their titles are recognised however a file spells them.
//!
//! Only letters and digits of a title count, in any case: `Customer ID`, `customer_id` and `CUSTOMER-ID` are one. It
//! knows titles only, no values.

use self::Field::{
    Age, ApprovedLimit, CurrentDebt, CustomerId, EndDate, FirstName, InterestRate, LastName, LoanAmount, LoanId,
    MonthlyIncome, MonthlyPayment, PaidOnTime, PhoneNumber, StartDate, Tenure,
};

/// Columns beyond this one are not looked at.
pub(super) const MAX_COLUMNS: usize = 256;

/// The longest piece of a title that is repeated in messages, in characters.
const MAX_TITLE_CHARS: usize = 60;

/// What a workbook is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Customers,
    Loans,
}

impl Kind {
    /// Its columns, in the order in which their values are checked.
    pub(super) const fn fields(self) -> &'static [Field] {
        match self {
            Self::Customers => {
                &[CustomerId, FirstName, LastName, Age, PhoneNumber, MonthlyIncome, ApprovedLimit, CurrentDebt]
            }
            Self::Loans => {
                &[CustomerId, LoanId, LoanAmount, Tenure, InterestRate, MonthlyPayment, PaidOnTime, StartDate, EndDate]
            }
        }
    }
}

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    CustomerId,
    FirstName,
    LastName,
    Age,
    PhoneNumber,
    MonthlyIncome,
    ApprovedLimit,
    CurrentDebt,
    LoanId,
    LoanAmount,
    Tenure,
    InterestRate,
    MonthlyPayment,
    PaidOnTime,
    StartDate,
    EndDate,
}

impl Field {
    /// Its usual title.
    pub(super) const fn title(self) -> &'static str {
        match self {
            CustomerId => "Customer ID",
            FirstName => "First Name",
            LastName => "Last Name",
            Age => "Age",
            PhoneNumber => "Phone Number",
            MonthlyIncome => "Monthly Salary",
            ApprovedLimit => "Approved Limit",
            CurrentDebt => "Current Debt",
            LoanId => "Loan ID",
            LoanAmount => "Loan Amount",
            Tenure => "Tenure",
            InterestRate => "Interest Rate",
            MonthlyPayment => "Monthly payment",
            PaidOnTime => "EMIs paid on Time",
            StartDate => "Date of Approval",
            EndDate => "End Date",
        }
    }

    /// Whether a workbook without it can be imported.
    pub(super) const fn is_optional(self) -> bool {
        matches!(self, CurrentDebt)
    }

    /// Whether a value of it must not be repeated in messages, which end up in logs.
    pub(super) const fn is_personal(self) -> bool {
        matches!(self, FirstName | LastName | Age | PhoneNumber | MonthlyIncome | ApprovedLimit | CurrentDebt)
    }

    /// The titles it goes by, folded.
    const fn names(self, kind: Kind) -> &'static [&'static str] {
        match self {
            CustomerId => match kind {
                Kind::Customers => &["customerid", "id", "customerno", "customernumber"],
                Kind::Loans => &["customerid", "customerno", "customernumber"],
            },
            FirstName => &["firstname", "givenname", "forename"],
            LastName => &["lastname", "surname", "familyname"],
            Age => &["age", "ageyears", "ageinyears"],
            PhoneNumber => &["phonenumber", "phone", "phoneno", "mobile", "mobilenumber", "mobileno", "contactnumber"],
            MonthlyIncome => {
                &["monthlysalary", "monthlyincome", "salary", "income", "monthlysalaryinr", "monthlyincomeinr"]
            }
            ApprovedLimit => &["approvedlimit", "creditlimit", "approvedcreditlimit", "limit"],
            CurrentDebt => &["currentdebt", "debt", "outstandingdebt"],
            LoanId => &["loanid", "loanno", "loannumber"],
            LoanAmount => &["loanamount", "amount", "principal", "principalamount"],
            Tenure => &["tenure", "tenuremonths", "tenureinmonths", "term", "termmonths", "loantenure", "loanterm"],
            InterestRate => &["interestrate", "rate", "rateofinterest", "annualinterestrate"],
            MonthlyPayment => &[
                "monthlypayment",
                "monthlyrepayment",
                "monthlyrepaymentemi",
                "monthlypaymentemi",
                "emi",
                "emiamount",
                "monthlyinstallment",
                "monthlyinstalment",
            ],
            PaidOnTime => {
                &["emispaidontime", "emisontime", "paidontime", "instalmentspaidontime", "installmentspaidontime"]
            }
            StartDate => &["dateofapproval", "startdate", "approvaldate", "approvedon", "startedon", "loanstartdate"],
            EndDate => &["enddate", "endson", "maturitydate", "dateofmaturity", "loanenddate"],
        }
    }
}

/// A title without all that files vary: only its letters and digits, in lower case.
fn fold(title: &str) -> String {
    title.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Which column of a sheet holds which field.
#[derive(Debug)]
pub(super) struct Header {
    /// The sheet's name.
    pub(super) sheet: String,
    /// Where it is, 1-based.
    pub(super) row: u32,
    kind: Kind,
    titles: Vec<Option<String>>,
    slots: Vec<Option<usize>>,
}

impl Header {
    /// The place of a column's values among the fields of the kind, `None` for a column that means nothing here.
    pub(super) fn slot_of(&self, column: usize) -> Option<usize> {
        self.slots.get(column).copied().flatten()
    }

    /// The place of a field's values.
    pub(super) fn slot(&self, field: Field) -> Option<usize> {
        self.kind.fields().iter().position(|other| *other == field)
    }

    /// How many places there are.
    pub(super) fn width(&self) -> usize {
        self.kind.fields().len()
    }

    /// The field's title as it stands in the file, or the usual one.
    pub(super) fn title(&self, field: Field) -> String {
        let own = self.slot(field).and_then(|slot| self.titles.get(slot)?.clone());
        own.unwrap_or_else(|| field.title().to_owned())
    }
}

/// What a row says when it is taken for a header.
#[derive(Debug)]
pub(super) enum Recognised {
    /// All required columns are there.
    Header(Header),
    /// Two columns mean the same.
    Twice { field: Field, first: String, second: String },
    /// Required columns are missing.
    Incomplete { matched: usize, missing: Vec<&'static str>, found: Vec<String> },
}

/// Takes a row for a header: the columns, from 0, with their texts.
pub(super) fn recognise(kind: Kind, sheet: &str, row: u32, cells: &[(usize, &str)]) -> Recognised {
    let fields = kind.fields();
    let mut titles: Vec<Option<String>> = vec![None; fields.len()];
    let mut slots = vec![None; MAX_COLUMNS];
    let mut twice = None;
    for &(column, text) in cells {
        let folded = fold(text);
        let Some(slot) = fields.iter().position(|field| field.names(kind).contains(&folded.as_str())) else {
            continue;
        };
        if let Some(first) = &titles[slot] {
            twice = twice.or_else(|| Some((fields[slot], first.clone(), shortened(text))));
        } else if let Some(place) = slots.get_mut(column) {
            *place = Some(slot);
            titles[slot] = Some(shortened(text));
        }
    }
    let absent =
        |(field, title): (&Field, &Option<String>)| (title.is_none() && !field.is_optional()).then_some(field.title());
    let missing: Vec<&'static str> = fields.iter().zip(&titles).filter_map(absent).collect();
    if !missing.is_empty() {
        let matched = titles.iter().flatten().count();
        return Recognised::Incomplete {
            matched,
            missing,
            found: cells.iter().map(|(_, text)| shortened(text)).collect(),
        };
    }
    match twice {
        Some((field, first, second)) => Recognised::Twice { field, first, second },
        None => Recognised::Header(Header { sheet: sheet.to_owned(), row, kind, titles, slots }),
    }
}

/// The required columns' usual titles.
pub(super) fn required(kind: Kind) -> Vec<&'static str> {
    kind.fields().iter().filter(|field| !field.is_optional()).map(|field| field.title()).collect()
}

/// A title in one line, and not a long one.
fn shortened(title: &str) -> String {
    let one_line = title.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    one_line.collect::<Vec<_>>().join(" ").chars().take(MAX_TITLE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognised(kind: Kind, titles: &[&str]) -> Recognised {
        let cells: Vec<(usize, &str)> = titles.iter().copied().enumerate().collect();
        recognise(kind, "Sheet1", 1, &cells)
    }

    #[test]
    fn titles_are_recognised_in_any_spelling_and_order() {
        let customers: [&[&str]; 4] = [
            &["Customer ID", "First Name", "Last Name", "Age", "Phone Number", "Monthly Salary", "Approved Limit"],
            &["customer_id", "first_name", "last_name", "age", "phone_number", "monthly_salary", "approved_limit"],
            &["current_debt", "INCOME", "CREDIT-LIMIT", "Mobile No.", " Age ", "Surname", "First\nname", "Id"],
            &["notes", "notes", "CustomerID", "FirstName", "LastName", "Age", "Phone", "Salary", "Credit  Limit"],
        ];
        for titles in customers {
            assert!(matches!(recognised(Kind::Customers, titles), Recognised::Header(_)), "{titles:?}");
        }
        let ours = ["End Date", "start_date", "EMIs on-time", "monthly_repayment_(emi)", "Rate (%)", "term"];
        let loans = [&ours[..], &["Principal", "LOAN.ID", "customer id"]].concat();
        let Recognised::Header(header) = recognised(Kind::Loans, &loans) else { panic!("{loans:?}") };
        assert_eq!(header.slot_of(8), header.slot(CustomerId));
        assert_eq!(header.slot_of(0), header.slot(EndDate));
        assert_eq!(header.slot_of(300), None);
        assert_eq!(header.title(MonthlyPayment), "monthly_repayment_(emi)");
    }

    #[test]
    fn a_missing_column_is_named_with_what_was_found() {
        let titles = ["Customer ID", "First Name", "Last Name", "Age", "Fax"];
        let Recognised::Incomplete { matched, missing, found } = recognised(Kind::Customers, &titles) else {
            panic!("complete")
        };
        assert_eq!((matched, missing), (4, vec!["Phone Number", "Monthly Salary", "Approved Limit"]));
        assert_eq!(found, titles);
    }

    #[test]
    fn two_columns_of_one_meaning_are_refused() {
        let titles = ["id", "First Name", "Last Name", "Age", "Phone", "Income", "Approved Limit", "SALARY"];
        let Recognised::Twice { field, first, second } = recognised(Kind::Customers, &titles) else {
            panic!("not twice")
        };
        assert_eq!((field, first.as_str(), second.as_str()), (MonthlyIncome, "Income", "SALARY"));
    }
}
