/* Windows of one length that begin every hop, so that each moment lies in every / hop of them:
 *
 *   every 30s, hop 10s    |-----------------|
 *                               |-----------------|
 *                                     |-----------------|
 *   panes                 |  0  | 10  | 20  | 30  | 40  |
 *
 * Counted from 1970-01-01T00:00:00Z. Because hop divides every, borders of windows are borders of
 * panes, and nothing is ever counted twice or cut. */
#include "operators/operators.h"

#include <millrace/text.h>
#include <stdio.h>

struct hopping {
    int64_t every_ns, hop_ns;
};

static const struct mr_option options[] = {
    {.name = "every",
     .type = MR_OPTION_DURATION,
     .help = "The length of a window",
     .offset = offsetof(struct hopping, every_ns),
     .minimum = 1e6,
     .maximum = 3660 * 86400e9},
    {.name = "hop",
     .type = MR_OPTION_DURATION,
     .help = "How far apart windows begin, at its multiples since 1970, UTC; `every` is a multiple "
             "of it",
     .offset = offsetof(struct hopping, hop_ns),
     .minimum = 1e6,
     .maximum = 3660 * 86400e9},
    {0},
};

/* The longest unit of time that both are multiples of. */
static int64_t unit_of(int64_t a, int64_t b) {
    static const int64_t units[] = {86400000000000, 3600000000000, 60000000000,
                                    1000000000,     1000000,       1000};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (a % units[i] == 0 && b % units[i] == 0) {
            return units[i];
        }
    }
    return 1;
}

/* A hop that divides every into so many steps, or into the next number in that direction that gives
 * a round one. 0: there is none. */
static int64_t round_hop(const struct hopping *hopping, int64_t steps, int64_t direction) {
    int64_t unit = unit_of(hopping->every_ns, hopping->hop_ns);
    for (; steps > 0 && steps <= MR_PANES_MAX; steps += direction) {
        if (hopping->every_ns % steps == 0 && hopping->every_ns / steps % unit == 0) {
            return hopping->every_ns / steps;
        }
    }
    return 0;
}

static enum mr_status refuse(int64_t instead_ns, const char *text, struct mr_error *err) {
    char instead[MR_TEXT_MAX];
    return instead_ns > 0 ? mr_error_set(err, MR_REJECT, "%s; %s would do", text,
                                         mr_format_duration(instead_ns, instead))
                          : mr_error_set(err, MR_REJECT, "%s", text);
}

static enum mr_status check(const void *settings, struct mr_error *err) {
    const struct hopping *hopping = settings;
    char every[MR_TEXT_MAX], hop[MR_TEXT_MAX], text[256];
    int64_t steps = hopping->every_ns / hopping->hop_ns;
    mr_format_duration(hopping->every_ns, every);
    mr_format_duration(hopping->hop_ns, hop);
    if (steps == 0) {
        return mr_error_set(err, MR_REJECT,
                            "`hop`, %s, is longer than `every`, %s: what lies between two windows "
                            "would be in none",
                            hop, every);
    }
    if (steps > MR_PANES_MAX) {
        snprintf(text, sizeof text, "`hop`, %s, is too short: a window has at most %d steps", hop,
                 MR_PANES_MAX);
        return refuse(round_hop(hopping, MR_PANES_MAX, -1), text, err);
    }
    if (hopping->every_ns % hopping->hop_ns != 0) {
        snprintf(text, sizeof text, "`every`, %s, is not a multiple of `hop`, %s", every, hop);
        return refuse(round_hop(hopping, steps + 1, 1), text, err);
    }
    return MR_OK;
}

static struct mr_panes panes(const void *settings) {
    const struct hopping *hopping = settings;
    return (struct mr_panes){hopping->hop_ns, hopping->every_ns - hopping->hop_ns,
                             (uint32_t)(hopping->every_ns / hopping->hop_ns)};
}

static struct mr_span span(const void *settings, int64_t event_ns) {
    const struct hopping *hopping = settings;
    return mr_span_of(hopping->hop_ns, event_ns);
}

const struct mr_window_type mr_hopping_window = {
    .name = "hopping",
    .key = "hop",
    .summary = "windows of one length that overlap: one begins every hop",
    .options = options,
    .options_size = sizeof(struct hopping),
    .check = check,
    .panes = panes,
    .span = span,
};
