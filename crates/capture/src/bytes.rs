//! Numbers in the byte order of a capture, and a walk over a slice that never runs past its end.

/// The byte order of the machine that wrote a section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Little,
    Big,
}

macro_rules! number {
    ($name:ident, $type:ty, $size:literal) => {
        #[inline]
        pub fn $name(self, bytes: [u8; $size]) -> $type {
            match self {
                Order::Little => <$type>::from_le_bytes(bytes),
                Order::Big => <$type>::from_be_bytes(bytes),
            }
        }
    };
}

impl Order {
    number!(u16, u16, 2);
    number!(u32, u32, 4);
    number!(u64, u64, 8);

    /// The number at the beginning of `bytes`, of as many bytes as there are: 1, 2, 4 or 8.
    #[inline]
    pub fn unsigned(self, bytes: &[u8]) -> Option<u64> {
        match bytes.len() {
            8 => Some(self.u64(bytes.try_into().ok()?)),
            4 => Some(self.u32(bytes.try_into().ok()?).into()),
            2 => Some(self.u16(bytes.try_into().ok()?).into()),
            1 => bytes.first().map(|b| u64::from(*b)),
            _ => None,
        }
    }

    /// The same, as a signed number of that size.
    #[inline]
    pub fn signed(self, bytes: &[u8]) -> Option<i64> {
        let value = self.unsigned(bytes)?;
        Some(match bytes.len() {
            8 => value as i64,
            4 => i64::from(value as u32 as i32),
            2 => i64::from(value as u16 as i16),
            _ => i64::from(value as u8 as i8),
        })
    }
}

/// Takes numbers and strings off the front of a slice. `None`: the slice ends before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk<'a> {
    rest: &'a [u8],
    order: Order,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(rest: &'a [u8], order: Order) -> Self {
        Walk { rest, order }
    }

    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        Some(self.order.u16(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        Some(self.order.u32(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        Some(self.order.u64(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.u64().map(|value| value as i64)
    }

    /// Bytes after a length of 16 bits.
    pub(crate) fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }

    pub(crate) fn ipv4(&mut self) -> Option<std::net::IpAddr> {
        Some(std::net::IpAddr::from(self.array::<4>()?))
    }

    pub(crate) fn ipv6(&mut self) -> Option<std::net::IpAddr> {
        Some(std::net::IpAddr::from(self.array::<16>()?))
    }
}
