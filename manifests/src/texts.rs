//! Texts that are good in one field or another, nearly good, or an attack.

/// Each of them is tried on every field that takes a text.
#[rustfmt::skip]
pub const TEXTS: &[&str] = &[
    // Durations.
    "15s", "0s", "1ms", "999ms", "1s", "1h", "1h1ms", "24h", "24h1ms", "10000h", "10000h1s", "99999h", "99999h99999m99999s99999ms",
    "100000h", "1.5s", "1h30", "-1s", "+1s", "1s1m", "1m 30s", " 15s", "15s ", "15S", "15 s", "١٥s", "1d", "1us", "15", "1e3s", "∞",
    "00000h", "0h0m0s0ms", "60001ms", "15s\n", "1m30s",
    // Cron expressions.
    "* * * * *", "*/5 * * * *", "30 10 * * MON-FRI", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 29 2 *", "60 * * * *", "* 24 * * *",
    "*/0 * * * *", "* * * * 8", "5-1 * * * *", "* * * JAN *", "* * * FOO *", "* * * * * *", "@daily", "*/99999999999999999999 * * * *",
    "1,,2 * * * *", "- - - - -", ", , , , ,", "* * L * *", "0 0 * * 7", "0 0 * * SUN-SAT", "0-59/7 1-23/2 * * *", "59 23 31 12 *",
    "*  *   * * *", "*\t* * * *", "* * * * *\n", " * * * * *", "* * * * * ", "* * ? * ?", "0 0 * * MON#1", "0 0 * * 1L", "0 0 1 1 1-",
    "30 2 29 3 *", "0 0 1 * XYZ", "1/ * * * *", "00 09 * * *", "* * 0 * *", "* * * 0 *", "* * * 13 *", "/5 * * * *", "1-2-3 * * * *",
    // Time zones.
    "UTC", "Europe/Berlin", "europe/berlin", "Europe/Berlinn", "Z", "Local", "America/Argentina/Buenos_Aires", "Etc/GMT+12", "EST5EDT",
    "+01:00", "posixrules", "GMT", "Asia/Kathmandu", "US/Pacific", "Antarctica/Troll", "Factory", "right/UTC", "Etc/Unknown", "local",
    // Dates, times of the day, moments.
    "2026-12-24", "2026-02-29", "2024-02-29", "0000-01-01", "9999-12-31", "10000-01-01", "-000001-01-01", "2026-1-1", "20261224",
    "00:00", "23:59", "24:00", "9:30", "09:60", "09:30:00", "٠٩:٣٠", "09:30\n",
    "2026-12-01T09:00:00Z", "2020-12-01T09:00:00Z", "2026-12-01T09:00:00+01:00", "2026-12-01t09:00:00z", "2026-12-01 09:00:00Z",
    "2026-12-01T09:00:00", "2026-12-01T23:59:60Z", "2026-12-01T24:00:00Z", "2026-12-01T09:00:00.123456789Z",
    "2026-12-01T09:00:00.1234567890123Z", "2026-12-01T09:00:00,5Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2026-12-01T09:00:00+24:00", "2026-12-01T09:00:00-00:00",
    "2026-02-30T00:00:00Z", "1969-12-31T23:59:59Z", "2026-12-01T09:00Z", "2026-12-01T09:00:00[Europe/Berlin]",
    "2026-12-01T09:00:00+01:00[Europe/Berlin]", "2026-12-01T09:00:00+0100", "2026-12-01T9:00:00Z", "+002026-12-01T09:00:00Z",
    // Labels, names, ports, paths.
    "backend", "a b", "-a", "a-", "a_b.c-d", "é", "app=backend", "a,b", "!a", "app in (x)", "example.com/app", "/app", "app/", "a/b/c",
    "http", "0", "65536", "8080", "HTTP", "a_b", "a--b", "1-2", "name-of-more-than-15", "8080/tcp",
    "/", "/status", "//evil", "/../x", "/status?x=1", "/status#a", "/a b", "http://elsewhere/", "/%2e%2e", "/.", "@evil/x", "\\x", "/é",
    "/status\n", "/status\r\nHost: evil",
    // Letters that are not what they look like, or that a terminal obeys.
    " ", "\n", "\t", "\u{0}", "\u{7f}", "\u{1b}[31m", "a\nb", "\u{202e}x", "\u{feff}x", "👩‍👩‍👧", "e\u{301}", "\u{fffd}", "\u{ffff}", "𝟙𝟝s",
    "ｎａｍｅ", "\u{85}", "\u{2028}", "🦀",
    // What another language would make something of.
    "{{ .Values.x }}", "${x}", "$(x)", "'; --", "<script>", "../../etc/passwd", "null", "true", "yes", "~", "*", "&a", "<<", "%s%n", "\"",
    "%00",
];
