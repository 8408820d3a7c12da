//! The pool's figures as Prometheus text: `cargo run --example prometheus --features metrics-facade`, then
//! `curl http://127.0.0.1:9464/metrics`. Another address may be named.
#![allow(clippy::print_stdout, reason = "an example tells where it listens")]

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::PrometheusBuilder;
use wavepool::event_bus::TypedEventBus;
use wavepool::modules::data_management::{DataManagementModule, MetricsFacade};
use wavepool::registry::ModuleRegistry;

/// The port under which exporters of figures are usually found.
const ADDRESS: &str = "127.0.0.1:9464";
/// Between two control steps, and as many of them between two recordings.
const STEP: Duration = Duration::from_millis(10);
const STEPS_PER_RECORDING: u64 = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| ADDRESS.into());
    let listener = TcpListener::bind(&address)?;
    println!("serving http://{}/metrics", listener.local_addr()?);

    let recorder = PrometheusBuilder::new().build_recorder();
    let text = recorder.handle();
    metrics::set_global_recorder(recorder)?;
    let mut registry = ModuleRegistry::builder(TypedEventBus::default()).boot()?;
    // This thread asks while the other one is inside the module, where it may be stuck.
    let watchdog = registry.watchdog();
    std::thread::spawn(move || {
        loop {
            // A client that went away is not this server's trouble.
            let _ = answer(&listener, || {
                let (figures, stuck) = (text.render(), watchdog.stuck_calls().len());
                format!(
                    "{figures}# TYPE wavepool_stuck_calls gauge\nwavepool_stuck_calls {stuck}\n"
                )
            });
        }
    });

    let pool = registry
        .get_mut::<DataManagementModule>()
        .ok_or("the module data_management is not linked")?;
    let mut audio = pool.attach_realtime()?;
    let mut facade = MetricsFacade::describe();
    let start = Instant::now();
    for step in 0.. {
        // What an audio thread would do: a few quanta, each with a block of its own.
        for quantum in 0..4 {
            audio.begin_quantum((4 * step + quantum) * 128);
            let block = audio.acquire_silent(480)?;
            audio.release(block);
        }
        pool.tick(start.elapsed().as_secs_f64() * 1000.0);
        if step % STEPS_PER_RECORDING == 0
            && let Some(metrics) = pool.metrics()
        {
            facade.record(&metrics);
        }
        std::thread::sleep(STEP);
    }
    Ok(())
}

/// Answers one request, whatever it asks for.
pub(crate) fn answer(listener: &TcpListener, text: impl FnOnce() -> String) -> std::io::Result<()> {
    let (mut client, _) = listener.accept()?;
    read_request(&client)?;
    let body = text();
    write!(
        client,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn read_request(client: &TcpStream) -> std::io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(2)))?;
    for line in BufReader::new(client).lines() {
        if line?.is_empty() {
            break;
        }
    }
    Ok(())
}
