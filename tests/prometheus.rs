//! Figures scraped over loopback are those the callers saw.

#[allow(dead_code, reason = "the test answers in its own loop")]
#[path = "../examples/prometheus.rs"]
mod prometheus;

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use metrics_exporter_prometheus::PrometheusBuilder;
use wavepool::modules::data_management::pool_metrics::{ClassMetrics, Kind, Statistics, Unit};
use wavepool::modules::data_management::{BufferPool, MetricsFacade, PoolFigures, PoolMetrics};

/// What a scraper gets, body alone.
fn scrape(text: &str) -> Result<String, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let mut response = String::new();
    std::thread::scope(|threads| -> Result<(), Box<dyn Error>> {
        let server = threads.spawn(|| prometheus::answer(&listener, || text.to_owned()));
        let mut client = TcpStream::connect(address)?;
        client.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        client.read_to_string(&mut response)?;
        Ok(server.join().map_err(|_| "the server panicked")??)
    })?;
    let (head, body) = response.split_once("\r\n\r\n").ok_or("no body")?;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    Ok(body.to_owned())
}

/// The value of the one line that begins with `name`.
fn value(text: &str, name: &str) -> f64 {
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let values: Vec<_> = lines.map(str::parse).collect();
    match values[..] {
        [Ok(value)] => value,
        _ => panic!("{name} is {values:?} in\n{text}"),
    }
}

#[test]
fn scraped_figures_are_those_the_callers_saw() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let (mut control, mut half) = BufferPool::builder()
        .class(256, 4)
        .class(1024, 2)
        .build()
        .unwrap();
    let (before, after) = metrics::with_local_recorder(&recorder, || {
        let mut facade = MetricsFacade::describe();
        facade.record(&control.metrics());
        let before = scrape(&recorder.handle().render()).unwrap();

        half.begin_quantum(0);
        let held: Vec<_> = (0..5).map(|_| half.acquire(200)).collect();
        assert_eq!(held.iter().filter(|buffer| buffer.is_ok()).count(), 4);
        // A class that goes leaves no buffers standing in the figures.
        control.trim(1024, 0).unwrap();
        facade.record(&control.metrics());
        let mut metrics = control.metrics();
        metrics.classes.retain(|class| class.samples == 256);
        facade.record(&metrics);
        (before, scrape(&recorder.handle().render()).unwrap())
    });

    assert!(
        value(&before, "wavepool_hit_rate_percentage").is_nan(),
        "not measured yet"
    );
    assert_eq!(
        value(&before, "wavepool_class_carved{samples=\"1024\"}"),
        2.0
    );
    assert_eq!(value(&after, "wavepool_total_allocations"), 5.0);
    assert_eq!(value(&after, "wavepool_pool_hits"), 4.0);
    assert_eq!(value(&after, "wavepool_hit_rate_percentage"), 80.0);
    assert_eq!(value(&after, "wavepool_leased"), 4.0);
    assert_eq!(value(&after, "wavepool_bytes_leased"), 4096.0);
    assert_eq!(
        value(&after, "wavepool_class_exhausted{samples=\"256\"}"),
        1.0
    );
    assert_eq!(
        value(&after, "wavepool_class_carved{samples=\"1024\"}"),
        0.0
    );

    // Every declaration is there, under its own words and as what it is.
    for (prefix, statistics) in [
        ("wavepool_", PoolMetrics::STATISTICS),
        ("wavepool_class_", ClassMetrics::STATISTICS),
    ] {
        for statistic in statistics.iter().filter(|one| one.unit != Unit::Records) {
            let name = format!("{prefix}{}", statistic.name);
            let kind = match statistic.kind {
                Kind::Total => "counter",
                Kind::Level => "gauge",
            };
            assert!(after.contains(&format!("# TYPE {name} {kind}\n")), "{name}");
            assert!(
                after.contains(&format!("# HELP {name} {}", statistic.meaning)),
                "{name}"
            );
        }
    }
}
