//! Files and plans are checked when they are read, by what will use them: whatever is in them, it is accepted and can be
//! used, or refused with an error.
#![allow(missing_docs)]

use proptest::prelude::*;
use serde_json::{Value, json};
use wavepool::modules::data_management::sizing::demand_trace::{
    DemandTrace, MAX_BUFFERS, MAX_OPERATIONS, MAX_QUANTA,
};
use wavepool::modules::data_management::sizing::sizing_plan::SizingStep;
use wavepool::modules::data_management::sizing::sizing_profile::SizingProfile;
use wavepool::modules::data_management::sizing::sizing_rules::SizingPolicy;
use wavepool::modules::data_management::{
    BufferPool, DataManagementConfig, LearnedMix, PoolFigures,
};
use wavepool_tools::capacity_plan::{CapacityPlan, StreamNeed};
use wavepool_tools::trace_replay::{ReplayOptions, replay};

/// What may stand where a number is expected: sizes at every limit, and things that are none.
fn leaf() -> impl Strategy<Value = Value> {
    let numbers = [
        0,
        1,
        15,
        16,
        128,
        256,
        4096,
        32_766,
        32_767,
        40_000,
        (1 << 20) - 1,
        1 << 20,
        (1 << 29) - 1,
        1 << 29,
        u64::from(u32::MAX) - 1,
        u64::from(u32::MAX),
        u64::from(u32::MAX) + 1,
        1 << 53,
        i64::MAX as u64,
        u64::MAX,
    ];
    prop_oneof![
        6 => prop::sample::select(numbers.to_vec()).prop_map(Value::from),
        2 => any::<u64>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(|number| json!(number)),
        1 => prop::sample::select(vec![
            json!(null), json!(true), json!("16"), json!([]), json!({}), json!(-1), json!(0.5), json!(1e300),
        ]),
    ]
}

/// Any JSON at all.
fn anything() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 32, 6, |inner| {
        let key = prop::sample::select(vec![
            "version",
            "classes",
            "samples",
            "buffers",
            "bytes_budget",
            "ops",
            "dropped",
            "grow",
            "set_classes",
            "sample_rate_hz",
            "quantum_frames",
            "shrink",
            "class_samples",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6).prop_map(|fields| {
                let fields = fields
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value));
                Value::Object(fields.collect())
            }),
        ]
    })
}

/// `file` with some of its values replaced, or taken away.
fn damaged(file: Value) -> impl Strategy<Value = Value> {
    let damage = (
        any::<prop::sample::Index>(),
        prop::option::weighted(0.9, leaf()),
    );
    prop::collection::vec(damage, 1..4).prop_map(move |damages| {
        let mut file = file.clone();
        for (at, value) in damages {
            let mut places = Vec::new();
            collect_places(&file, &mut Vec::new(), &mut places);
            if places.is_empty() {
                continue;
            }
            let place: &Path = at.get(&places);
            replace(&mut file, place, value);
        }
        file
    })
}

type Path = Vec<(Option<String>, usize)>;

fn collect_places(value: &Value, path: &mut Path, places: &mut Vec<Path>) {
    let mut enter = |step: (Option<String>, usize), inner: &Value| {
        path.push(step);
        places.push(path.clone());
        collect_places(inner, path, places);
        path.pop();
    };
    match value {
        Value::Array(items) => {
            (items.iter().enumerate()).for_each(|(at, item)| enter((None, at), item))
        }
        Value::Object(fields) => fields
            .iter()
            .for_each(|(key, field)| enter((Some(key.clone()), 0), field)),
        _ => {}
    }
}

fn replace(value: &mut Value, path: &[(Option<String>, usize)], with: Option<Value>) {
    let Some(((key, at), deeper)) = path.split_first() else {
        return;
    };
    match (value, key) {
        (Value::Object(fields), Some(key)) => match (deeper.is_empty(), with) {
            (true, Some(with)) => drop(fields.insert(key.clone(), with)),
            (true, None) => drop(fields.remove(key)),
            (false, with) => replace(&mut fields[key], deeper, with),
        },
        (Value::Array(items), None) => match (deeper.is_empty(), with) {
            (true, Some(with)) => items[*at] = with,
            (true, None) => drop(items.remove(*at)),
            (false, with) => replace(&mut items[*at], deeper, with),
        },
        _ => {}
    }
}

fn trace() -> Value {
    json!({
        "version": 1, "sample_rate_hz": 48_000.0, "quantum_frames": 128, "dropped": 0,
        "ops": [[0, 0, 256], [0, 1, 700], [128, 0, 0], [256, 0, 300], [300, 1, 0], [512, 0, 0]],
    })
}

fn profile() -> Value {
    json!({
        "version": 1, "bytes_budget": 1 << 20,
        "classes": [{ "samples": 256, "buffers": 12 }, { "samples": 4096, "buffers": 4 }],
    })
}

fn steps() -> Value {
    json!([
        { "grow": { "class_samples": 256, "buffers": 3 } },
        { "shrink": { "class_samples": 512, "buffers": 2 } },
        { "set_classes": { "classes": [{ "samples": 384, "buffers": 4 }, { "samples": 512, "buffers": 0 }] } },
        { "grow": { "class_samples": 384, "buffers": 2 } },
    ])
}

/// A file of the form of `file`: damaged here and there, or anything.
fn hostile(file: fn() -> Value) -> impl Strategy<Value = Value> {
    prop_oneof![3 => damaged(file()), 1 => anything()]
}

fn pool() -> wavepool::modules::data_management::PoolBuilder {
    BufferPool::builder().class(256, 4).class(1024, 2)
}

proptest! {
    #[test]
    fn hostile_traces_are_refused_or_replayed_to_their_end(json in hostile(trace)) {
        let Ok(trace) = DemandTrace::from_json(&json.to_string()) else { return Ok(()) };
        prop_assert!(trace.ops().len() <= MAX_OPERATIONS && trace.buffers() <= MAX_BUFFERS as usize);
        let last = trace.ops().last().map_or(0, |op| op.frame);
        let quanta = last / u64::from(trace.quantum_frames());
        prop_assert!(quanta <= MAX_QUANTA);
        // The longest is replayed elsewhere, in an optimised library.
        if quanta > 5_000 {
            return Ok(());
        }
        let policy = (quanta < 200).then(SizingPolicy::default);
        let options = ReplayOptions { pool: pool(), policy, quanta_per_step: 1, score_from_frame: 0, clock_us: None };
        if let Ok(report) = replay(&trace, &options) {
            prop_assert!(report.requests as usize <= trace.ops().len());
            prop_assert!(report.hits + report.exhausted <= report.requests);
        }
    }

    #[test]
    fn hostile_profiles_are_refused_or_begin_a_pool(json in hostile(profile)) {
        let Ok(profile) = SizingProfile::from_json(&json.to_string()) else { return Ok(()) };
        let again = SizingProfile::from_json(&profile.to_json()).unwrap();
        prop_assert_eq!(&again, &profile);
        // As the page begins, and with a mix of its own.
        let config = DataManagementConfig::default().with_profile(&profile);
        for begun in [config.map(|config| config.pool), pool().profile(&profile)].into_iter().flatten() {
            let (control, half) = begun.build().unwrap();
            for (class, asked) in control.metrics().classes.iter().zip(profile.mix()) {
                prop_assert_eq!(class.samples, asked.samples);
                prop_assert_eq!(class.carved, u64::from(asked.buffers));
            }
            drop((control, half));
        }
    }

    #[test]
    fn hostile_sizing_steps_are_refused_or_applied(json in hostile(steps)) {
        let Ok(steps) = serde_json::from_value::<Vec<SizingStep>>(json) else { return Ok(()) };
        let pool = BufferPool::builder().class(256, 4).class(512, 4).limit_samples(1 << 14);
        let (mut control, mut half) = pool.build().unwrap();
        let held = half.acquire(200).unwrap();
        for step in &steps {
            let before = control.metrics();
            if control.apply(step).is_err() {
                prop_assert_eq!(control.metrics().bytes_held, before.bytes_held);
                prop_assert!(control.metrics().classes.iter().filter(|class| !class.retired).map(|class| class.samples)
                    .eq(before.classes.iter().filter(|class| !class.retired).map(|class| class.samples)));
            }
            half.begin_quantum(0);
            control.step(64);
            prop_assert!(control.bytes_held() <= 4 << 14);
            prop_assert_eq!(control.leased(), 1);
        }
        drop(held);
    }

    #[test]
    fn hostile_streams_are_refused_or_planned_for(
        texts in prop::collection::vec("[0-9]{1,11}:[0-9]{1,3}:[0-9]{1,10}/[0-9]{1,10}:(-?[0-9]{1,4}(e[0-9]{1,3})?|NaN|inf)", 1..5),
        text in ".{0,40}",
    ) {
        let _ = text.parse::<StreamNeed>();
        let streams: Vec<StreamNeed> = texts.iter().filter_map(|text| text.parse().ok()).collect();
        let Ok(plan) = CapacityPlan::for_streams(&streams) else { return Ok(()) };
        prop_assert_eq!(plan.streams.len(), streams.len());
        for (stream, need) in streams.iter().zip(&plan.streams) {
            prop_assert!(need.samples >= stream.window as usize);
            prop_assert_eq!(need.buffers, stream.buffers().unwrap());
        }
        // What is planned can be built, where the machine has so much.
        if !plan.classes.is_empty() && plan.samples() < 1 << 20 {
            let builder = plan.classes.iter().fold(BufferPool::builder(), |pool, class| {
                pool.class(class.samples, class.buffers)
            });
            prop_assert!(builder.build().is_ok());
        }
    }
}

/// The traces and the profile that were once accepted: the first never ended, the second took all memory, the third kept
/// the page from booting.
#[test]
fn known_hostile_files_are_refused_with_entry_value_and_limit() {
    let trace = |op: Value| {
        let mut file = trace();
        file["ops"] = json!([op]);
        DemandTrace::from_json(&file.to_string())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        trace(json!([u64::MAX, 0, 256])),
        format!(
            "demand trace, operation 0: the frame must be at most {} (got {})",
            MAX_QUANTA * 128,
            u64::MAX
        )
    );
    assert_eq!(
        trace(json!([0, 4_294_967_294_u32, 256])),
        format!(
            "demand trace, operation 0: the buffer's number must be at most {} (got 4294967294)",
            MAX_BUFFERS - 1
        )
    );
    let mut file = profile();
    file["classes"][0] = json!({ "samples": 16, "buffers": 40_000 });
    let error = SizingProfile::from_json(&file.to_string()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("class 0: buffers must be 0 to 32766 (got 40000)")
    );
}
