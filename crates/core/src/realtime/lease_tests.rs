use super::*;
use crate::{BufferPool, PoolControl, RealtimePool};

fn pool() -> (PoolControl, RealtimePool) {
    BufferPool::builder().class(64, 8).build().unwrap()
}

fn is_stale<T>(result: Result<T, PoolError>) -> bool {
    matches!(result.err(), Some(PoolError::StaleLease { .. }))
}

fn is_illegal<T>(result: Result<T, PoolError>, asked: LeaseMove) -> bool {
    matches!(result.err(), Some(PoolError::IllegalMove { asked: was, .. }) if was == asked)
}

#[test]
fn stale_lease_is_refused_after_release() {
    let (control, half) = pool();
    let mut table = LeaseTable::new(3, 4);
    let lease = table.open(half.acquire(64).unwrap()).unwrap();
    assert!(lease.raw() < 1 << LEASE_BITS);
    assert_eq!((lease.holder(), table.live()), (3, 1));
    table.release(lease).unwrap();
    assert!(is_stale(table.release(lease)));
    assert!(is_stale(table.view(lease)));
    assert!(is_stale(table.end_view(lease)));
    assert!(is_stale(table.share(lease)));
    assert!(is_stale(table.cross(lease)));
    assert!(is_stale(table.get(lease)));
    assert_eq!((table.live(), control.leased()), (0, 0));
}

#[test]
fn lease_moves_that_are_illegal_are_refused_and_change_nothing() {
    let (control, half) = pool();
    let mut table = LeaseTable::new(0, 4);
    let lease = table.open(half.acquire(64).unwrap()).unwrap();
    assert!(is_illegal(table.end_view(lease), LeaseMove::EndView));
    table.view(lease).unwrap();
    assert!(is_illegal(table.view(lease), LeaseMove::View));
    assert!(is_illegal(table.share(lease), LeaseMove::Share));
    assert!(is_illegal(table.cross(lease), LeaseMove::Cross));
    assert_eq!(
        (table.state(lease), control.leased()),
        (Ok(LeaseState::Viewed), 1)
    );
    table.end_view(lease).unwrap();
    table.view(lease).unwrap();
    table.release(lease).unwrap();
    assert_eq!(control.leased(), 0);
}

#[test]
fn lease_share_is_a_lease_of_its_own_on_the_same_samples() {
    let (control, half) = pool();
    let mut table = LeaseTable::new(0, 4);
    let mut buffer = half.acquire(64).unwrap();
    buffer.fill(0.5);
    let first = table.open(buffer).unwrap();
    let second = table.share(first).unwrap();
    table.release(first).unwrap();
    assert_eq!(table.get(second).unwrap().samples(), [0.5; 64]);
    assert_eq!(control.leased(), 1);
    table.release(second).unwrap();
    assert_eq!(control.leased(), 0);
}

#[test]
fn lease_crossing_ends_one_lease_and_opens_another() {
    let (control, half) = pool();
    let (mut sender, mut receiver) = (LeaseTable::new(0, 4), LeaseTable::new(1, 4));
    let sent = sender.open(half.acquire(64).unwrap()).unwrap();
    let received = receiver.open(sender.cross(sent).unwrap()).unwrap();
    assert!(is_stale(sender.release(sent)));
    assert!(matches!(
        receiver.release(sent),
        Err(PoolError::WrongHolder {
            holder: 0,
            asked: 1,
            ..
        })
    ));
    receiver.release(received).unwrap();
    assert_eq!(control.leased(), 0);
}

#[test]
fn lease_reclaim_ends_every_lease_of_a_dead_participant() {
    let (control, half) = pool();
    let mut table = LeaseTable::new(0, 8);
    let leases: Vec<_> = (0..5)
        .map(|_| table.open(half.acquire(64).unwrap()).unwrap())
        .collect();
    table.view(leases[2]).unwrap();
    assert_eq!((table.reclaim(), table.reclaim()), (5, 0));
    assert!(
        leases
            .into_iter()
            .all(|lease| is_stale(table.release(lease)))
    );
    assert_eq!((table.live(), control.leased()), (0, 0));
}

#[test]
fn lease_table_full_releases_the_buffer() {
    let (control, half) = pool();
    let mut table = LeaseTable::new(0, 2);
    let held = [0, 1].map(|_| table.open(half.acquire(64).unwrap()).unwrap());
    let full = table.open(half.acquire(64).unwrap());
    assert!(matches!(
        full,
        Err(PoolError::TableFull {
            table: Table::Leases,
            capacity: 2
        })
    ));
    assert_eq!((held.len(), control.leased()), (2, 2));
}

#[test]
fn stale_lease_of_another_table_with_the_same_number_is_refused() {
    let (control, half) = BufferPool::builder().class(64, 200).build().unwrap();
    // As two pools on one page have them, and two participants one after the other.
    let mut tables: Vec<_> = (0..8).map(|_| LeaseTable::new(0, 1024)).collect();
    let mut leases = Vec::new();
    for table in &mut tables {
        let owned = table.open(half.acquire(64).unwrap()).unwrap();
        let frozen = table.open(half.acquire(64).unwrap().freeze()).unwrap();
        leases.push([owned, frozen, table.share(frozen).unwrap()]);
    }
    for (at, table) in tables.iter_mut().enumerate() {
        for (of, leases) in leases.iter().enumerate().filter(|&(of, _)| of != at) {
            for &lease in leases {
                assert!(is_stale(table.view(lease)), "{of} in {at}");
                assert!(is_stale(table.share(lease)), "{of} in {at}");
                assert!(is_stale(table.cross(lease)), "{of} in {at}");
                assert!(is_stale(table.release(lease)), "{of} in {at}");
            }
        }
        assert_eq!(table.live(), 3);
    }
    assert_eq!(control.leased(), 16);
}

#[test]
fn lease_table_participant_and_size_are_accepted_or_refused_from_0_to_their_maxima() {
    for holder in 0..=u8::MAX {
        let table = LeaseTable::<LeasedBuffer>::try_of(holder, 1);
        match table {
            Ok(table) => assert_eq!((table.holder(), holder < MAX_HOLDERS), (holder, true)),
            Err(error) => {
                assert_eq!(error, PoolError::NoSuchHolder { holder, most: 15 });
                assert!(holder >= MAX_HOLDERS);
            }
        }
    }
    for most in [
        0,
        1,
        2,
        3,
        255,
        256,
        4095,
        MAX_LEASES,
        MAX_LEASES + 1,
        usize::MAX,
    ] {
        let table = LeaseTable::new(15, most);
        let entries = most.clamp(1, MAX_LEASES).next_power_of_two();
        assert_eq!((table.entries.len(), table.live()), (entries, 0));
    }
    let (_control, half) = pool();
    let mut table = LeaseTable::new(15, 8);
    let lease = table.open(half.acquire(64).unwrap()).unwrap();
    for raw in [
        0,
        1,
        u32::MAX,
        1 << 30,
        1 << 31,
        lease.raw() | 1 << 30,
        lease.raw() ^ 1,
    ] {
        let claimed = Lease::from_raw(raw);
        assert!(
            table.get(claimed).is_err() && table.release(claimed).is_err(),
            "{raw:#x}"
        );
    }
    assert_eq!(table.live(), 1);
}

#[test]
fn lease_table_abandoned_drops_nothing() {
    let (control, half) = pool();
    let mut table = LeaseTable::new(0, 4);
    table.open(half.acquire(64).unwrap()).unwrap();
    table.abandon();
    assert_eq!(control.leased(), 1);
    let mut table = LeaseTable::new(0, 4);
    table.open(half.acquire(64).unwrap()).unwrap();
    drop(table);
    assert_eq!(control.leased(), 1);
}

#[test]
fn lease_entries_are_used_first_in_first_out() {
    let (_control, half) = pool();
    let mut table = LeaseTable::new(0, 4);
    let entries: Vec<_> = (0..8)
        .map(|_| {
            let lease = table.open(half.acquire(64).unwrap()).unwrap();
            table.release(lease).unwrap();
            lease.raw() % 4
        })
        .collect();
    assert_eq!(entries, [0, 1, 2, 3, 0, 1, 2, 3]);
}

#[test]
fn lease_generation_wraps_without_ever_being_zero() {
    let (_control, half) = pool();
    let mut table = LeaseTable::new(0, MAX_LEASES);
    table.entries[0].generation = (1 << (HOLDER_SHIFT - 12)) - 1;
    let last = table.open(half.acquire(64).unwrap()).unwrap();
    assert!(last.raw() < 1 << HOLDER_SHIFT);
    table.release(last).unwrap();
    assert_eq!(table.entries[0].generation, 1);
}

#[test]
fn forged_lease_hits_nothing_but_the_live_set() {
    let (control, half) = pool();
    let mut table = LeaseTable::new(2, 256);
    let live: Vec<_> = (0..6)
        .map(|_| table.open(half.acquire(64).unwrap()).unwrap())
        .collect();
    let mut state = 0x9e37_79b9_u32;
    for _ in 0..if cfg!(miri) { 10_000 } else { 1_000_000 } {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let forged = Lease::from_raw(state);
        assert_eq!(
            table.get(forged).is_ok(),
            live.contains(&forged),
            "{state:#x}"
        );
    }
    assert_eq!((table.live(), control.leased()), (6, 6));
}

#[test]
fn lease_share_in_a_full_table_changes_nothing() {
    let (_control, half) = pool();
    let mut table = LeaseTable::new(0, 1);
    let lease = table.open(half.acquire(64).unwrap()).unwrap();
    assert!(matches!(
        table.share(lease),
        Err(PoolError::TableFull { .. })
    ));
    assert!(matches!(table.get(lease), Ok(LeasedBuffer::Owned(_))));
    assert!(is_stale(table.share(Lease::from_raw(lease.raw() + 1))));
}
