//! Whose address a request comes from, where proxies stand between, in a way that no client can lie about.
//!
//! Each proxy adds the address that it was asked from at the end of a list. So the list is read from its end, as far as
//! those who say so are trusted: what stands further to the left the client may have written itself.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::subject::NOWHERE;
use crate::config::ForwardedHeader;

/// Whom to believe about where a request comes from, and in which header.
pub struct Proxies {
    trusted: Vec<IpNet>,
    header: ForwardedHeader,
}

impl Proxies {
    /// Those in these networks, in that header. Without any, a request comes from whoever connects.
    #[must_use]
    pub const fn new(trusted: Vec<IpNet>, header: ForwardedHeader) -> Self {
        Self { trusted, header }
    }

    /// The name of the header.
    #[must_use]
    pub const fn header_name(&self) -> &'static str {
        match self.header {
            ForwardedHeader::XForwardedFor => "x-forwarded-for",
            ForwardedHeader::Forwarded => "forwarded",
        }
    }

    /// The client's address, from who connects and the header's lines in their order. Where a trusted proxy says nothing,
    /// or nothing that can be read, it is the client.
    pub fn client<'a>(&self, peer: Option<IpAddr>, lines: impl DoubleEndedIterator<Item = &'a str>) -> IpAddr {
        let mut client = peer.unwrap_or(NOWHERE).to_canonical();
        for hop in lines.rev().flat_map(|line| self.last_first(line)) {
            match hop.filter(|_| self.trusts(client)) {
                Some(address) => client = address,
                None => break,
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// The addresses of a line, the last one first; `None` where one cannot be read.
    fn last_first(&self, line: &str) -> Vec<Option<IpAddr>> {
        match self.header {
            ForwardedHeader::XForwardedFor => {
                let parts = line.rsplit(',').map(str::trim).filter(|part| !part.is_empty());
                parts.map(address).collect()
            }
            ForwardedHeader::Forwarded => {
                let mut hops = forwarded(line).unwrap_or_else(|| vec![None]);
                hops.reverse();
                hops
            }
        }
    }
}

/// An address, with a port or without.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse().map(|address: SocketAddr| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

/// `for` of each element of a `Forwarded` header (RFC 7239). `None` for a line that is not well-formed as a whole: a
/// client's quote that is never closed would else swallow what a proxy adds behind it.
fn forwarded(line: &str) -> Option<Vec<Option<IpAddr>>> {
    let mut hops = Vec::new();
    let mut rest = line.trim();
    let mut element = None;
    while !rest.is_empty() {
        let (name, value, after) = pair(rest)?;
        if name.eq_ignore_ascii_case("for") {
            element = address(value);
        }
        let after = after.trim_start();
        rest = match after.strip_prefix(';') {
            Some(next) => next.trim_start(),
            None => {
                hops.push(element.take());
                if after.is_empty() { after } else { after.strip_prefix(',')?.trim_start() }
            }
        };
    }
    Some(hops)
}

/// The first `name=value` or `name="value"` of a text, and what follows it. No address has anything to escape.
fn pair(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.split_once('=')?;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return None;
    }
    if let Some(quoted) = rest.strip_prefix('"') {
        let (value, after) = quoted.split_once('"')?;
        return (!value.contains('\\')).then_some((name, value, after));
    }
    let end = rest.find(|c: char| c == ',' || c == ';' || c.is_whitespace()).unwrap_or(rest.len());
    let (value, after) = rest.split_at(end);
    (!value.is_empty() && !value.contains('"')).then_some((name, value, after))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn client(header: ForwardedHeader, peer: &str, lines: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "2001:db8:ffff::/48"].map(|network| network.parse().unwrap());
        let proxies = Proxies::new(trusted.to_vec(), header);
        proxies.client(Some(peer.parse().unwrap()), lines.iter().copied()).to_string()
    }

    #[rstest]
    #[case::nobody_between("192.0.2.1", &[], "192.0.2.1")]
    #[case::a_stranger_says_something("192.0.2.1", &["198.51.100.1"], "192.0.2.1")]
    #[case::a_proxy_says_something("10.0.0.1", &["198.51.100.1"], "198.51.100.1")]
    #[case::two_proxies("10.0.0.1", &["198.51.100.1, 10.0.0.2"], "198.51.100.1")]
    #[case::two_lines("10.0.0.1", &["198.51.100.1", "10.0.0.2"], "198.51.100.1")]
    #[case::the_client_lies("10.0.0.1", &["203.0.113.9, 198.51.100.1"], "198.51.100.1")]
    #[case::the_client_claims_to_be_a_proxy("10.0.0.1", &["203.0.113.9, 10.0.0.3", "198.51.100.1"], "198.51.100.1")]
    #[case::a_proxy_says_nothing("10.0.0.1", &[], "10.0.0.1")]
    #[case::a_proxy_says_nothing_in_so_many_words("10.0.0.1", &["", " , "], "10.0.0.1")]
    #[case::only_proxies("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3")]
    #[case::unreadable("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1")]
    #[case::unreadable_beyond_a_proxy("10.0.0.1", &["198.51.100.1, \u{fffd}, 10.0.0.2"], "10.0.0.2")]
    #[case::with_a_port("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1")]
    #[case::ipv6("2001:db8:ffff::1", &["2001:db8::1"], "2001:db8::1")]
    #[case::ipv6_with_a_port("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1")]
    #[case::ipv6_in_brackets("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1")]
    #[case::ipv4_as_ipv6("::ffff:10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1")]
    fn x_forwarded_for_is_read_from_its_end(#[case] peer: &str, #[case] lines: &[&str], #[case] expected: &str) {
        assert_eq!(client(ForwardedHeader::XForwardedFor, peer, lines), expected);
    }

    #[rstest]
    #[case::plain(&["for=198.51.100.1"], "198.51.100.1")]
    #[case::more_is_said(&["by=10.0.0.1;For=198.51.100.1; proto=https"], "198.51.100.1")]
    #[case::quoted(&[r#"for="[2001:db8::1]:4711""#], "2001:db8::1")]
    #[case::two_proxies(&["for=198.51.100.1, for=10.0.0.2;by=10.0.0.1"], "198.51.100.1")]
    #[case::the_client_lies(&["for=203.0.113.9, for=198.51.100.1"], "198.51.100.1")]
    #[case::hidden(&["for=203.0.113.9, for=_hidden"], "10.0.0.1")]
    #[case::nothing_of_the_client(&["for=203.0.113.9, by=10.0.0.1;proto=https"], "10.0.0.1")]
    #[case::a_quote_left_open(&[r#"for=203.0.113.9;x=", for=198.51.100.1"#], "10.0.0.1")]
    #[case::a_quote_that_the_proxys_closes(&[r#"for=203.0.113.9;x=", for="[2001:db8::1]""#], "10.0.0.1")]
    #[case::a_quote_in_the_middle(&[r#"for=203.0.113.9;x=a", for="[2001:db8::1]""#], "10.0.0.1")]
    #[case::escaped(&[r#"for="203.0.113.9\"", for=198.51.100.1"#], "10.0.0.1")]
    #[case::the_proxys_own_line(&["for=\"", "for=198.51.100.1"], "198.51.100.1")]
    #[case::the_other_header_says_nothing_here(&["198.51.100.1"], "10.0.0.1")]
    fn forwarded_is_read_from_its_end(#[case] lines: &[&str], #[case] expected: &str) {
        assert_eq!(client(ForwardedHeader::Forwarded, "10.0.0.1", lines), expected);
    }

    #[test]
    fn nobody_is_trusted_unless_named() {
        let proxies = Proxies::new(Vec::new(), ForwardedHeader::XForwardedFor);
        let peer = "127.0.0.1".parse().unwrap();
        assert_eq!(proxies.client(Some(peer), ["198.51.100.1"].into_iter()), peer);
        assert_eq!(proxies.client(None, ["198.51.100.1"].into_iter()), NOWHERE);
    }
}
