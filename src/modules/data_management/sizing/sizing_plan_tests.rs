use super::*;

fn plan() -> SizingPlan {
    SizingPlan {
        version: PLAN_VERSION,
        pressure: MemoryPressure::None,
        classes: vec![ClassTarget {
            samples: 512,
            strategy: Strategy::Prewarmed,
            carved: 4,
            target: 20,
        }],
        steps: vec![PlannedStep {
            half: None,
            step: SizingStep::Grow {
                class_samples: 512,
                buffers: 16,
            },
            reason: Reason::DemandRises,
            bytes_held_change: 16 * 512 * 4,
        }],
        before: Effect {
            bytes_held: 8192,
            hit_rate_percentage: Some(80.0),
            internal_waste_percentage: None,
        },
        expected: Effect {
            bytes_held: 40_960,
            hit_rate_percentage: Some(100.0),
            internal_waste_percentage: None,
        },
    }
}

#[test]
fn sizing_plan_reads_as_recommendations() {
    assert_eq!(
        plan().to_string(),
        "1. carve 16 more buffers of 512 samples: use grows faster than the idle buffers last (+32 KiB held)\n\
         before:   8 KiB held, hit rate 80.00 %, internal waste not measured\n\
         expected: 40 KiB held, hit rate 100.00 %, internal waste not measured"
    );
}

#[test]
fn sizing_plan_text_has_singular_and_plural() {
    let mut plan = plan();
    plan.steps[0].step = SizingStep::Shrink {
        class_samples: 512,
        buffers: 1,
    };
    assert!(
        plan.to_string()
            .starts_with("1. take back 1 idle buffer of 512 samples: ")
    );
}

#[test]
fn sizing_plan_json_round_trips() {
    let text = serde_json::to_string(&plan()).unwrap();
    assert!(text.contains(r#""grow":{"class_samples":512,"buffers":16}"#));
    assert_eq!(serde_json::from_str::<SizingPlan>(&text).unwrap(), plan());
}

#[test]
fn memory_pressure_levels_are_ordered() {
    assert!(MemoryPressure::None < MemoryPressure::Moderate);
    assert!(MemoryPressure::Moderate < MemoryPressure::Critical);
}
