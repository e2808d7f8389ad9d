/* A log, as the command line and the job say. A later property replaces an earlier one of its
 * name: what --kafka says comes behind what the job says.
 *
 * Opening a cluster's log talks to nobody: what goes wrong there is the configuration, and its
 * exit code says so. What a broker answers comes later, with other calls. */
#include "engine/cli/connect.h"

#include <stdlib.h>

bool mr_is_cluster(const char *url) {
    return strncmp(url, "kafka:", 6) == 0;
}

static void add_plan(struct mr_properties *properties, const struct mr_plan *plan) {
    properties->count = plan->property_count;
    properties->items = mr_allocate_array(plan->property_count + 1, struct mr_property);
    if (plan->property_count > 0) {
        memcpy(properties->items, plan->properties,
               plan->property_count * sizeof *plan->properties);
    }
}

static int open_log(const struct mr_connect *how, const struct mr_properties *properties,
                    struct mr_log **log, struct mr_error *err) {
    struct mr_log_options options = {
        .make = how->make,
        .properties = properties->items,
        .property_count = properties->count,
        .stop = mr_is_cluster(how->url) ? mr_catch_signals() : NULL,
    };
    enum mr_status status = mr_log_open(how->url, &options, &mr_real_clock, log, err);
    if (status == MR_OK) {
        return MR_EXIT_OK;
    }
    return status == MR_REJECT && mr_is_cluster(how->url) ? MR_EXIT_CONFIGURATION : MR_EXIT_FAILED;
}

int mr_connect(const struct mr_connect *how, struct mr_log **log, struct mr_error *err) {
    struct mr_properties properties = {0};
    int code = MR_EXIT_OK;
    *log = NULL;
    if (how->plan) {
        add_plan(&properties, how->plan);
    }
    if (*how->file && mr_properties_read(&properties, how->file, err) != MR_OK) {
        code = MR_EXIT_CONFIGURATION;
    }
    if (code == MR_EXIT_OK && mr_is_cluster(how->url)) {
        mr_stop_limit(how->late);
    }
    if (code == MR_EXIT_OK) {
        code = open_log(how, &properties, log, err);
    }
    if (*log && how->patience_ns > 0 && mr_is_cluster(how->url)) {
        mr_stop_after(how->patience_ns);
    }
    mr_properties_finish(&properties);
    return code;
}
