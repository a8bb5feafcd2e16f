//! Figures of many rounds as the cells of a table.

/// The median, the least and the most of some rounds.
pub(crate) fn cell(rounds: &[f64], digits: usize) -> String {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (median, min, max) = (sorted[sorted.len() / 2], sorted[0], sorted[sorted.len() - 1]);
    format!("{median:.digits$} ({min:.digits$}-{max:.digits$})")
}

/// As `cell`, of one figure over another of the same round.
pub(crate) fn ratio(ours: &[f64], bare: &[f64]) -> String {
    let ratios: Vec<_> = ours.iter().zip(bare).map(|(ours, bare)| ours / bare).collect();
    cell(&ratios, 3)
}

/// A line of a Markdown table.
pub(crate) fn row(cells: &[&str]) {
    println!("| {} |", cells.join(" | "));
}

/// Its first two lines.
pub(crate) fn header(cells: &[&str]) {
    println!();
    row(cells);
    println!("|{}", "---|".repeat(cells.len()));
}
