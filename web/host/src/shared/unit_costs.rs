//! What JavaScript objects weigh in a browser.

use wavepool::modules::data_management::ObjectCosts;

/// Bytes of JavaScript objects in a browser, as `cargo xtask bench browser` measured them (`unit_bytes`; `cargo xtask test
/// garbage` checks them). The page's pressure reduction is computed from these numbers only. `None` until they were measured;
/// the figure is then shown as "not measured". A message is measured without the buffer that it transfers, which counts as a
/// buffer made on the receiving side.
pub(crate) const MEASURED: Option<UnitCosts> = Some(UnitCosts {
    costs: ObjectCosts {
        view_bytes: 60,
        message_bytes: 100,
        array_bytes: 112,
    },
    source: "cargo xtask bench browser, unit_bytes, Chromium 156",
});

/// Unit costs with their source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnitCosts {
    pub(crate) costs: ObjectCosts,
    /// The command that measured them, and the browser.
    pub(crate) source: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn unit_costs_have_a_source() {
        assert!(MEASURED.is_none_or(|measured| !measured.source.is_empty()));
    }
}
