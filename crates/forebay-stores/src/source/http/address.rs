//! Which addresses may be reached.
//!
//! An origin's name is a text that somebody else's name server turns into addresses, at any time into others. So it is the address that
//! is judged, right before it is connected to, and whatever is not known to be public is refused: what is on this machine, in this
//! network, or a cloud's own desk for credentials. The table follows the registries of special addresses (RFC 6890, RFC 8190).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Which addresses may be reached beside public ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Loopback and private addresses may be reached.
    pub allow_private: bool,
    /// So may the loopback and private addresses of these networks.
    pub allowed: Vec<Network>,
}

/// What an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Anybody's, over the internet.
    Public,
    /// This machine.
    Loopback,
    /// A private network: RFC 1918, RFC 4193, shared address space (RFC 6598).
    Private,
    /// The network at the next plug: 169.254.0.0/16, fe80::/10.
    LinkLocal,
    /// Where a cloud tells its machines who they are, and their credentials.
    Metadata,
    /// No address: 0.0.0.0/8, `::`.
    Unspecified,
    /// Many at once.
    Multicast,
    /// For documents, measurements, the future, or nothing.
    Reserved,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Metadata => "a cloud's metadata service",
            Self::Unspecified => "unspecified",
            Self::Multicast => "multicast",
            Self::Reserved => "reserved",
        })
    }
}

/// Addresses of clouds' metadata services that no wider range has; those of EC2 by IPv6 are a range of their own.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// What `address` is. An IPv6 address that stands for one of IPv4 (mapped, compatible, NAT64, 6to4) is what that is.
#[must_use]
pub fn class(address: IpAddr) -> Class {
    let is_of_ec2 =
        matches!(address, IpAddr::V6(address) if matches!(address.segments(), [0xfd00, 0xec2, ..]));
    if is_of_ec2 || METADATA.contains(&address) {
        return Class::Metadata;
    }
    match address {
        IpAddr::V4(address) => class_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(inner) => class(IpAddr::V4(inner)),
            None => class_v6(address),
        },
    }
}

fn class_v4(address: Ipv4Addr) -> Class {
    match address.octets() {
        [0, ..] => Class::Unspecified,
        [127, ..] => Class::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Class::Private,
        [169, 254, ..] => Class::LinkLocal,
        [224..=239, ..] => Class::Multicast,
        [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [240..=255, ..] => Class::Reserved,
        _ => Class::Public,
    }
}

fn class_v6(address: Ipv6Addr) -> Class {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Class::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Class::Loopback,
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Class::Private,
        [0xfe80..=0xfebf, ..] => Class::LinkLocal,
        [0xff00..=0xffff, ..] => Class::Multicast,
        // Protocol assignments (Teredo and ORCHID among them), documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Class::Reserved,
        [0x2000..=0x3fff, ..] => Class::Public,
        _ => Class::Reserved,
    }
}

/// The IPv4 address that an IPv6 address stands for.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let joined = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(joined(high, low))
        }
        [0x2002, high, low, ..] => Some(joined(high, low)),
        _ => None,
    }
}

/// Why an address is not reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {class}: {}", self.mend())]
pub struct AddressError {
    /// The address.
    pub address: IpAddr,
    /// What it is.
    pub class: Class,
}

impl AddressError {
    fn mend(&self) -> &'static str {
        match self.class {
            Class::Loopback | Class::Private => {
                "allow it by `allow_private = true`, or its network by `allow`, or name another origin"
            }
            _ => "such addresses are never reached; name another origin",
        }
    }
}

impl AddressPolicy {
    /// Whether `address` may be reached.
    ///
    /// # Errors
    /// When it may not.
    pub fn check(&self, address: IpAddr) -> Result<(), AddressError> {
        let class = class(address);
        let is_allowed = match class {
            Class::Public => true,
            Class::Loopback | Class::Private => {
                self.allow_private || self.allowed.iter().any(|network| network.has(address))
            }
            _ => false,
        };
        if is_allowed { Ok(()) } else { Err(AddressError { address, class }) }
    }
}

/// Addresses with a common beginning: `10.1.0.0/16`, `fd00::/8`; without `/`, one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

/// A text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write an address, or a network like `10.1.0.0/16` or `fd00::/8`")]
pub struct NetworkError;

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits.parse::<u8>().map_err(|_| NetworkError)?)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| NetworkError)?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most { Err(NetworkError) } else { Ok(Self { base, bits }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

impl Network {
    /// Whether `address` is of it; one of IPv6 that stands for one of IPv4 is taken for that.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        let address = match address {
            IpAddr::V6(six) => embedded(six).map_or(address, IpAddr::V4),
            IpAddr::V4(_) => address,
        };
        let (base, address, most) = match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                (u128::from(base.to_bits()), u128::from(address.to_bits()), 32)
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => (base.to_bits(), address.to_bits(), 128),
            _ => return false,
        };
        let rest = most - u32::from(self.bits);
        (base ^ address).checked_shr(rest).unwrap_or(0) == 0
    }
}
