//! Choices made of bytes: what a property test draws and shrinks, and what a fuzzer writes. Where no byte is left, each
//! choice is the first one, so that generators put the plainest thing first and always end.

pub(crate) struct Choices<'a> {
    bytes: &'a [u8],
}

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Choices { bytes }
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self.bytes.split_first() {
            Some((first, rest)) => {
                self.bytes = rest;
                *first
            }
            None => 0,
        }
    }

    /// One of `count`.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        let wide = usize::from(self.byte());
        if count > 256 { (wide * 256 + usize::from(self.byte())) % count } else { wide % count.max(1) }
    }

    /// True in one case of `many`, and never where no byte is left.
    pub(crate) fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == many - 1
    }

    pub(crate) fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}
