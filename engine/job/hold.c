/* What `hold` asks of a job. It stands in the chain where a statistic of events is weighed by time,
 * and nowhere else; whether one is, is known only when the statistics are: so the step is loaded
 * like any other and settled here.
 *
 * An interval lies between two events of one key. So the job must say what the key is; and a share
 * of the window is one of a key's time, which has no meaning for a group of several keys. */
#include "engine/job/load.h"

#define WINDOWS_MAX 10000 /* that one value may fill */

static bool is_weighed(const struct mr_loader *loader, const struct mr_stat *stat) {
    return loader->measures[stat->measure].aggregate->feed != MR_FEED_SAMPLES;
}

static const struct mr_node *node_of(const struct mr_loader *loader, const struct mr_stat *stat) {
    return mr_node_find(mr_node_find(loader->root, "stats"), stat->name);
}

/* The first statistic that needs `hold`; NULL: none does. */
static const struct mr_stat *find_weighed(const struct mr_loader *loader) {
    for (size_t i = 0; i < loader->plan->stat_count; i++) {
        if (is_weighed(loader, &loader->plan->stats[i])) {
            return &loader->plan->stats[i];
        }
    }
    return NULL;
}

/* ---- The key -------------------------------------------------------------------------------- */

static void use_key(struct mr_loader *loader, const struct mr_stat *stat) {
    const struct mr_input *input = &loader->plan->input;
    const struct mr_node *from = mr_node_find(loader->root, "from");
    uint16_t slot;
    if (input->key_source == MR_KEY_NONE) {
        mr_node_fault(loader, node_of(loader, stat),
                      "`from: {key: device}` names the field whose events belong together",
                      "`%s` holds each value until the next one of its key, and the job does not "
                      "say what that is",
                      stat->result->name);
    } else if (input->key_source == MR_KEY_FIELD) {
        mr_field_use(loader, mr_node_find(from, "key"), &slot);
    }
}

static bool is_grouped_by_key(const struct mr_loader *loader) {
    const struct mr_plan *plan = loader->plan;
    const struct mr_input *input = &plan->input;
    const char *key = input->key_source == MR_KEY_FIELD  ? input->key_name
                      : input->key_source == MR_KEY_NONE ? NULL
                                                         : "key";
    for (size_t i = 0; key && i < plan->group_count; i++) {
        if (strcmp(loader->fields[plan->groups[i].slot].name, key) == 0) {
            return true;
        }
    }
    return false;
}

static void check_shares(struct mr_loader *loader) {
    const struct mr_plan *plan = loader->plan;
    if (plan->input.key_source == MR_KEY_NONE && !loader->arrays) {
        return; /* use_key has told that there is none */
    }
    const char *key = plan->input.key_source == MR_KEY_FIELD ? plan->input.key_name : "key";
    for (size_t i = 0; i < plan->stat_count; i++) {
        const struct mr_stat *stat = &plan->stats[i];
        if (!stat->result->share || is_grouped_by_key(loader)) {
            continue;
        }
        const char *add = mr_source_format(&loader->source,
                                           "add `%s` to `group_by`, or take `covered`: its seconds "
                                           "add up over keys",
                                           key);
        mr_node_fault(loader, node_of(loader, stat), add,
                      "`%s` is the share of the window that one key's values cover, and `group_by` "
                      "does not have the key",
                      stat->result->name);
    }
}

/* ---- The step ------------------------------------------------------------------------------- */

static struct mr_step *find_step(struct mr_plan *plan) {
    for (size_t i = 0; i < plan->step_count; i++) {
        if (plan->steps[i].type->place == MR_PLACE_HOLD) {
            return &plan->steps[i];
        }
    }
    return NULL;
}

static void take_out(struct mr_plan *plan, struct mr_step *step) {
    struct mr_step *end = plan->steps + plan->step_count;
    memmove(step, step + 1, (size_t)(end - step - 1) * sizeof *step);
    plan->step_count--;
}

/* Two readings a month apart in windows of a second would make millions of rows. */
static void check_max_gap(struct mr_loader *loader, const struct mr_step *step) {
    const struct mr_window *window = &loader->plan->window;
    const struct mr_option *option = step->type->options;
    const struct mr_node *section = mr_node_find(loader->root, step->type->name);
    int64_t gap_ns;
    if (!window->type) {
        return;
    }
    memcpy(&gap_ns, (const char *)step->options + option->offset, sizeof gap_ns);
    struct mr_span span = window->type->span(window->options, 0);
    if (gap_ns / WINDOWS_MAX >= span.end_ns - span.start_ns) {
        mr_node_fault(loader, section ? section->key : mr_node_find(loader->root, "window")->key,
                      "shorten `hold.max_gap`, or lengthen the window",
                      "a value may hold for %d windows at most", WINDOWS_MAX);
    }
}

static void refuse_section(struct mr_loader *loader, const struct mr_node *section) {
    if (loader->arrays) {
        mr_node_fault(loader, section->key, "take it out",
                      "`hold` is for events; here each sample stands for the time to the next one");
    } else if (!loader->source.bad) {
        mr_node_fault(loader, section->key,
                      "integral, time_mean, covered, coverage and increase are; or take it out",
                      "no statistic of this job is weighed by time, so nothing is held");
    }
}

void mr_hold_finish(struct mr_loader *loader) {
    const struct mr_stat *weighed = find_weighed(loader);
    struct mr_step *step = find_step(loader->plan);
    if (step && !weighed) {
        const struct mr_node *section = mr_node_find(loader->root, step->type->name);
        if (section) {
            refuse_section(loader, section);
        }
        take_out(loader->plan, step);
    } else if (step) {
        use_key(loader, weighed);
        check_max_gap(loader, step);
    }
    check_shares(loader);
}
