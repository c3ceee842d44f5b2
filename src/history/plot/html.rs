//! The chart as one page for a screen: the same picture, with zoom, grouping, a filter and hover. The page holds its data
//! and its program; it loads nothing.

use super::Chart;

const PAGE: &str = include_str!("page.html");

/// The page.
#[must_use]
pub fn html(chart: &Chart) -> String {
    // Strings and numbers only: it cannot fail. "</" would end the script early.
    let data = serde_json::to_string(chart).unwrap_or_default().replace("</", "<\\/");
    PAGE.replace("\"@DATA@\"", &data)
}
