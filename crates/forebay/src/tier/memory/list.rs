//! A doubly linked queue threaded through a slab by index: push, pop and unlink in constant time, no allocation.
//!
//! The queue owns only its ends; the links lie in the slots, reached through [`Linked`].

/// The index of a slot in its slab.
pub(super) type Index = u32;

/// The neighbours of a slot in its queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Links {
    towards_head: Option<Index>,
    towards_tail: Option<Index>,
}

/// A slab whose slots can be linked.
pub(super) trait Linked {
    /// The links of a slot; `None` where there is no such slot.
    fn links(&mut self, at: Index) -> Option<&mut Links>;
}

/// A queue: entries go in at the head and come out at the tail.
#[derive(Debug, Default)]
pub(super) struct Queue {
    head: Option<Index>,
    tail: Option<Index>,
    /// The summed weight of its entries, in bytes.
    pub(super) weight_bytes: u64,
}

impl Queue {
    /// Puts a slot of `weight_bytes` at the head; it must be in no queue.
    pub(super) fn push(&mut self, slots: &mut impl Linked, at: Index, weight_bytes: u64) {
        if let Some(links) = slots.links(at) {
            *links = Links { towards_head: None, towards_tail: self.head };
        }
        match self.head.and_then(|head| slots.links(head)) {
            Some(old) => old.towards_head = Some(at),
            None => self.tail = Some(at),
        }
        self.head = Some(at);
        self.weight_bytes += weight_bytes;
    }

    /// Takes a slot of `weight_bytes` out, wherever it is; it must be in this queue.
    pub(super) fn unlink(&mut self, slots: &mut impl Linked, at: Index, weight_bytes: u64) {
        let Some(links) = slots.links(at).map(std::mem::take) else { return };
        match links.towards_head.and_then(|next| slots.links(next)) {
            Some(next) => next.towards_tail = links.towards_tail,
            None => self.head = links.towards_tail,
        }
        match links.towards_tail.and_then(|next| slots.links(next)) {
            Some(next) => next.towards_head = links.towards_head,
            None => self.tail = links.towards_head,
        }
        self.weight_bytes = self.weight_bytes.saturating_sub(weight_bytes);
    }

    /// The slot that is next to come out.
    pub(super) fn tail(&self) -> Option<Index> {
        self.tail
    }

    /// The slots from tail to head.
    pub(super) fn walk(&self, slots: &mut impl Linked) -> Vec<Index> {
        let mut walked = Vec::new();
        let mut at = self.tail;
        while let Some(index) = at {
            walked.push(index);
            at = slots.links(index).and_then(|links| links.towards_head);
        }
        walked
    }
}
