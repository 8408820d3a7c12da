//! What is generated, and the names it has in TypeScript where they differ from Rust's.

/// A Rust type, as `Name` or `file::Name`, and its name in TypeScript.
pub(super) type Name = (&'static str, &'static str);

/// The types of a snapshot, which the page's users see. In the order of the file.
pub(super) const SNAPSHOT: [Name; 33] = [
    ("Snapshot", "Snapshot"),
    ("Mode", "Mode"),
    ("StreamFigures", "StreamFigures"),
    ("Consumer", "StreamConsumer"),
    ("NoteRecord", "Note"),
    ("LevelRecord", "Level"),
    ("PoolMetrics", "PoolMetrics"),
    ("ClassMetrics", "ClassMetrics"),
    ("ObjectCounts", "ObjectCounts"),
    ("FeedFigures", "FeedFigures"),
    ("Priority", "Priority"),
    ("BusStats", "BusFigures"),
    ("LaneStats", "LaneFigures"),
    ("Latency", "Latency"),
    ("EventRecord", "BusEvent"),
    ("DispatchGap", "DispatchGap"),
    ("Activity", "Activity"),
    ("Tally", "EventTally"),
    ("ModuleHealth", "ModuleState"),
    ("MemoryFigures", "MemoryFigures"),
    ("Inspection", "Inspection"),
    ("HalfAccount", "HalfAccount"),
    ("VectorAccount", "VectorAccount"),
    ("SpanState", "SpanState"),
    ("ArenaSpan", "ArenaSpan"),
    ("ArenaMap", "ArenaMap"),
    ("Bar", "Bar"),
    ("ClassDemandFigures", "ClassDemand"),
    ("RecordingFigures", "RecordingFigures"),
    ("PlanFigures", "AppliedPlan"),
    ("Effect", "Effect"),
    ("AlertKind", "AlertKind"),
    ("AlertState", "AlertState"),
];

/// What else the page and the control worker exchange with Rust as JSON.
pub(super) const MESSAGES: [Name; 8] = [
    ("HostOptions", "HostOptions"),
    ("StreamOptions", "StreamOptions"),
    ("StreamLimits", "StreamLimits"),
    ("ControlStep", "ControlStep"),
    ("Alert", "Alert"),
    ("MemoryPressure", "MemoryPressure"),
    ("SoundSummary", "SoundSummary"),
    ("NoteCount", "NoteCount"),
];

/// Types that write their own JSON.
pub(super) const LEAVES: [Name; 3] = [
    // Letter, accidental, octave.
    ("Note", "string"),
    ("Version", "string"),
    // The fields of an event.
    ("Value", "Readonly<Record<string, unknown>>"),
];
