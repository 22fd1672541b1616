//! Answers of `HSCAN` and `ZSCAN`.

use forebay::value::Page;
use forebay_wire::resp::{ScanOptions, glob};

use super::Answer;

/// Answers that a scan has ended, having found nothing.
pub(super) fn nothing(answer: &mut Answer<'_>) {
    answer.array(2);
    answer.bulk(b"0");
    answer.array(0);
}

/// Answers a page of names and what stands with each; both are strings in either version of the protocol.
pub(super) fn step<T>(
    page: Page<(&[u8], T)>,
    options: &ScanOptions,
    answer: &mut Answer<'_>,
    mut tell: impl FnMut(&mut Answer<'_>, T),
) {
    let fits = |name: &[u8]| options.pattern.as_ref().is_none_or(|pattern| glob::matches(pattern, name));
    let found: Vec<_> = page.entries.into_iter().filter(|(name, _)| fits(name)).collect();
    answer.array(2);
    answer.bulk(page.cursor.to_string().as_bytes());
    answer.array(found.len().saturating_mul(2));
    for (name, what) in found {
        answer.bulk(name);
        tell(answer, what);
    }
}
