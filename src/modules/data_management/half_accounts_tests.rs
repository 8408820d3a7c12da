use super::*;
use wavepool_core::ClassMetrics;

fn own(half: u16, samples: usize, [carved, leased, high]: [u64; 3]) -> OwnClass {
    OwnClass {
        half,
        attachment: 1,
        class: ClassMetrics {
            samples,
            carved,
            leased,
            recent_high_water: high,
            ..ClassMetrics::default()
        },
    }
}

#[test]
fn half_account_follows_its_classes_and_keeps_the_peak() {
    let mut accounts = HalfAccounts::default();
    accounts.open("stream 1 capture".to_owned(), 2, &[(256, 4), (1024, 1)]);
    accounts.observe(&[own(2, 256, [4, 1, 3]), own(2, 1024, [1, 0, 0])]);
    accounts.observe(&[own(2, 256, [2, 1, 1]), own(3, 256, [9, 9, 9])]);
    let account = accounts.iter().next().unwrap();
    assert_eq!(account.name, "stream 1 capture");
    assert_eq!((account.bytes_stated, account.bytes_held), (8192, 2048));
    assert_eq!((account.bytes_leased, account.bytes_peak), (1024, 3072));
    accounts.open("stream 2 capture".to_owned(), 2, &[(256, 1)]);
    assert!(accounts.iter().map(|a| &a.name).eq(["stream 2 capture"]));
    accounts.observe(&[own(3, 256, [9, 9, 9])]);
    assert_eq!(accounts.iter().count(), 0);
}
