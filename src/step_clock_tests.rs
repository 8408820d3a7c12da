use super::*;

#[test]
fn step_clock_is_monotonic_after_nan_infinity_and_a_clock_set_back() {
    let mut clock = StepClock::default();
    let mut times = |given: &[f64]| given.iter().map(|&ms| clock.at(ms)).collect::<Vec<_>>();
    assert_eq!(times(&[f64::NAN, 10.0, 15.0]), [0.0, 10.0, 15.0]);
    assert_eq!(
        times(&[f64::INFINITY, f64::NEG_INFINITY, f64::MAX, 20.0]),
        [15.0, 15.0, 15.0, 20.0]
    );
    // Set back by 18 ms, and once more.
    assert_eq!(times(&[2.0, 7.0, 12.0]), [20.0, 25.0, 30.0]);
    assert_eq!(times(&[-1000.0, -995.0]), [30.0, 35.0]);
    let far = times(&[MAX_TIME_MS, 0.0, 5.0]);
    assert_eq!(far[1] - far[0], 0.0);
    assert_eq!(far[2] - far[1], 5.0);
}
