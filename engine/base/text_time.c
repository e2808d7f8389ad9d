/* Times as text: ISO 8601, always with a zone, to the nanosecond.
 *
 *      2026-11-21T03:10:00.123456789+01:00
 *      `--- 10 --' ^ `- 8 --'`1..9'  `- Z, +hh:mm or +hhmm
 *                 T or a space
 *
 * Days are counted from 1 March of year 0, so that the leap day is the last of its year and the
 * months' lengths follow one formula (Howard Hinnant, "chrono-compatible low-level date
 * algorithms"). A second of 60 is refused: the engine does not count leap seconds, so there is no
 * one time it could mean. */
#include "engine/base/base.h"

struct civil {
    int year, month, day, hour, minute, second;
};

static int64_t days_from_civil(int64_t year, int month, int day) {
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static struct civil civil_from_seconds(int64_t seconds) {
    int64_t days = seconds / 86400 - (seconds % 86400 < 0);
    int64_t in_day = seconds - days * 86400;
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    return (struct civil){
        .year = (int)(year + era * 400 + (month >= 10)),
        .month = (int)(month < 10 ? month + 3 : month - 9),
        .day = (int)(of_year - (153 * month + 2) / 5 + 1),
        .hour = (int)(in_day / 3600),
        .minute = (int)(in_day / 60 % 60),
        .second = (int)(in_day % 60),
    };
}

static int days_in_month(int year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

/* What is left of the text; `bad` once it was not as expected. */
struct scan {
    const char *at, *end;
    bool bad;
};

static int scan_digits(struct scan *scan, int count) {
    int value = 0;
    for (int i = 0; i < count; i++) {
        if (scan->bad || scan->at == scan->end || *scan->at < '0' || *scan->at > '9') {
            scan->bad = true;
            return 0;
        }
        value = value * 10 + (*scan->at++ - '0');
    }
    return value;
}

static bool scan_one_of(struct scan *scan, const char *choices) {
    if (scan->at == scan->end || *scan->at == 0 || !strchr(choices, *scan->at)) {
        return false;
    }
    scan->at++;
    return true;
}

static void scan_expect(struct scan *scan, const char *choices) {
    if (!scan_one_of(scan, choices)) {
        scan->bad = true;
    }
}

static struct civil scan_civil(struct scan *scan) {
    struct civil c;
    c.year = scan_digits(scan, 4);
    scan_expect(scan, "-");
    c.month = scan_digits(scan, 2);
    scan_expect(scan, "-");
    c.day = scan_digits(scan, 2);
    scan_expect(scan, "Tt ");
    c.hour = scan_digits(scan, 2);
    scan_expect(scan, ":");
    c.minute = scan_digits(scan, 2);
    scan_expect(scan, ":");
    c.second = scan_digits(scan, 2);
    return c;
}

static int64_t scan_fraction(struct scan *scan) {
    if (!scan_one_of(scan, ".")) {
        return 0;
    }
    int64_t ns = scan_digits(scan, 1);
    int digits = 1;
    for (; scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9' && digits < 9; digits++) {
        ns = ns * 10 + (*scan->at++ - '0');
    }
    for (; digits < 9; digits++) {
        ns *= 10;
    }
    return ns;
}

/* Seconds east of Greenwich. */
static int64_t scan_zone(struct scan *scan) {
    if (scan_one_of(scan, "Zz")) {
        return 0;
    }
    bool west = scan_one_of(scan, "-");
    if (!west) {
        scan_expect(scan, "+");
    }
    int hours = scan_digits(scan, 2);
    scan_one_of(scan, ":");
    int minutes = scan_digits(scan, 2);
    if (hours > 23 || minutes > 59) {
        scan->bad = true;
    }
    int64_t east = hours * 3600 + minutes * 60;
    return west ? -east : east;
}

bool mr_parse_time(struct mr_slice text, int64_t *ns) {
    if (text.length == 0) {
        return false;
    }
    struct scan scan = {text.data, text.data + text.length, false};
    struct civil c = scan_civil(&scan);
    int64_t fraction = scan_fraction(&scan);
    int64_t east = scan_zone(&scan);
    if (scan.bad || scan.at != scan.end || c.month < 1 || c.month > 12 || c.day < 1 ||
        c.day > days_in_month(c.year, c.month) || c.hour > 23 || c.minute > 59 || c.second > 59) {
        return false;
    }
    int64_t seconds = days_from_civil(c.year, c.month, c.day) * 86400 + c.hour * 3600 +
                      c.minute * 60 + c.second - east;
    int64_t whole;
    return !__builtin_mul_overflow(seconds, MR_SECOND, &whole) &&
           !__builtin_add_overflow(whole, fraction, ns);
}

const char *mr_format_time(int64_t ns, char out[MR_TEXT_MAX]) {
    if (ns == MR_NEVER) {
        return memcpy(out, "never", sizeof "never");
    }
    int64_t seconds = ns / MR_SECOND - (ns % MR_SECOND < 0);
    int64_t fraction = ns - seconds * MR_SECOND;
    struct civil c = civil_from_seconds(seconds);
    int at = snprintf(out, MR_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", c.year, c.month, c.day,
                      c.hour, c.minute, c.second);
    if (fraction > 0) {
        at += snprintf(out + at, (size_t)(MR_TEXT_MAX - at), ".%09lld", (long long)fraction);
        while (out[at - 1] == '0') {
            at--;
        }
    }
    memcpy(out + at, "Z", sizeof "Z");
    return out;
}
