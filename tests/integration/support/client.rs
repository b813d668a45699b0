//! A client of the API that keeps what it was answered.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::keys;

/// Phone numbers that no other call has used.
static NEXT_PHONE_NUMBER: AtomicU64 = AtomicU64::new(6_000_000_000);

/// An HTTP client with the service's address.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    /// What it shows: the tests' own key, another one, or nothing.
    bearer: Option<String>,
}

/// What was answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("headers are text"))
    }

    /// The fields that a problem document names.
    pub(crate) fn wrong_fields(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map_or(&[][..], Vec::as_slice);
        errors.iter().filter_map(|error| error["field"].as_str()).collect()
    }
}

impl Client {
    /// With the tests' own key.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let bearer = Some(keys::key().token());
        Self { http: reqwest::Client::new(), base: format!("http://{address}"), bearer }
    }

    /// The same with another key or token.
    pub(crate) fn showing(&self, bearer: &str) -> Self {
        Self { bearer: Some(bearer.to_owned()), ..self.clone() }
    }

    /// The same, saying nothing of who it is.
    pub(crate) fn anonymous(&self) -> Self {
        Self { bearer: None, ..self.clone() }
    }

    /// What it shows, as a header of a request that is written by hand.
    pub(crate) fn authorization(&self) -> String {
        self.bearer.as_ref().map_or_else(String::new, |bearer| format!("Authorization: Bearer {bearer}\r\n"))
    }

    pub(crate) fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.bearer {
            Some(bearer) => request.bearer_auth(bearer),
            None => request,
        }
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.try_send(request).await.expect("the service answers")
    }

    pub(crate) async fn try_send(&self, request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await?;
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Answer { status, headers, body })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(reqwest::Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(reqwest::Method::POST, path).json(body)).await
    }

    /// Registers a customer with that income; answers its id.
    pub(crate) async fn register(&self, monthly_income: u64) -> i64 {
        let answer = self.post("/register", &registration(monthly_income)).await;
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        answer.body["customer_id"].as_i64().expect("an id")
    }
}

/// A registration that is valid, under a phone number of its own.
pub(crate) fn registration(monthly_income: u64) -> Value {
    json!({
        "first_name": "Asha",
        "last_name": "Rao",
        "age": 30,
        "monthly_income": monthly_income,
        "phone_number": NEXT_PHONE_NUMBER.fetch_add(1, Ordering::Relaxed).to_string(),
    })
}

/// An application that is valid.
pub(crate) fn application(customer_id: i64, amount: u64, rate: u64, tenure: u64) -> Value {
    json!({ "customer_id": customer_id, "loan_amount": amount, "interest_rate": rate, "tenure": tenure })
}

/// The codes of a decision's reasons, in their order.
pub(crate) fn codes(answer: &Answer) -> Vec<&str> {
    let reasons = answer.body["reasons"].as_array().expect("reasons");
    reasons.iter().map(|reason| reason["code"].as_str().expect("a code")).collect()
}
