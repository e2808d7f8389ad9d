/* The text of a drawn job, as a person would write it, and its plan. */
#include "tests/sim/sim.h"

static const char *device_name(const struct sim_job *job) {
    return job->format == SIM_FRAMES ? "device" : job->record_key ? "key" : "g";
}

static const char *other_name(const struct sim_job *job) {
    return job->format == SIM_FRAMES ? "stream" : "h";
}

static void add_duration(struct mr_buffer *out, const char *name, int64_t ns) {
    char text[MR_TEXT_MAX];
    mr_buffer_format(out, "%s: %s", name, mr_format_duration(ns, text));
}

static void add_from(struct mr_buffer *out, const struct sim_job *job) {
    if (job->format == SIM_FRAMES) {
        mr_buffer_text(out, "from: {topic: " SIM_TOPIC ", format: waveform}\n");
        return;
    }
    mr_buffer_format(out,
                     "from:\n  topic: " SIM_TOPIC "\n  format: json\n  key: %s\n"
                     "  timestamp: {field: ts, unit: ms}\n",
                     job->record_key ? "{record: key}" : "g");
    const char *type = job->format == SIM_ARRAYS ? "\"number[]\"" : "number";
    mr_buffer_format(out, "  fields: {%sh: text, v: %s, w: %s, seq: integer}\n",
                     job->record_key ? "" : "g: text, ", type, type);
    if (job->format == SIM_ARRAYS) {
        mr_buffer_format(out, "  samples: {rate: %lldHz}\n",
                         (long long)(MR_SECOND / job->period_ns));
    }
    if (job->each) {
        mr_buffer_text(out, "  each: items\n");
    }
}

static void add_groups(struct mr_buffer *out, const struct sim_job *job) {
    const char *comma = "";
    mr_buffer_text(out, "group_by: [");
    if (job->by_device) {
        mr_buffer_text(out, device_name(job));
        comma = ", ";
    }
    if (job->by_other) {
        mr_buffer_format(out, "%s%s", comma, other_name(job));
        comma = ", ";
    }
    for (uint32_t i = 0; i < job->table_count; i++) {
        if (job->tables[i].kind) {
            mr_buffer_format(out, "%s{%s: %s.kind}", comma, sim_table_name(i), sim_table_name(i));
            comma = ", ";
        }
    }
    mr_buffer_text(out, "]\n");
}

static void add_steps(struct mr_buffer *out, const struct sim_job *job) {
    bool frames = job->format == SIM_FRAMES;
    if (job->duplicates) {
        mr_buffer_format(out, "duplicates: {by: [%s, %s], ", device_name(job),
                         frames ? "stream, sequence" : "seq");
        add_duration(out, "within", job->within_ns);
        mr_buffer_text(out, "}\n");
    }
    if (job->let) {
        mr_buffer_format(out, "let:\n  p: %s\n", frames ? "current * voltage" : "v * w");
    }
    if (job->tables[0].scale) {
        mr_buffer_format(out, "%s  q: %s * algo.scale\n", job->let ? "" : "let:\n",
                         frames ? "current" : "v");
    }
    if (job->tables[0].limit) {
        mr_buffer_format(out, "where: %s > algo.limit\n", frames ? "current" : "v");
    } else if (job->where) {
        mr_buffer_format(out, "where: %s > -20\n", frames ? "current" : "v");
    }
    if (job->transitions) {
        mr_buffer_format(out, "transitions: {by: %s, field: h, allow: [[h0, h1]%s], refused: %s}\n",
                         device_name(job), job->back ? ", [h1, h0]" : "",
                         job->letters ? "dead_letter" : "filter");
    }
    add_groups(out, job);
}

static void add_stats(struct mr_buffer *out, const struct sim_job *job) {
    const char *v = job->format == SIM_FRAMES ? "current" : "v";
    mr_buffer_format(out, "stats:\n  n: count\n  v_sum: sum(%s)\n  v_last: last(%s)\n", v, v);
    if (job->let) {
        mr_buffer_text(out, "  p_sum: sum(p)\n");
    }
    if (job->tables[0].scale) {
        mr_buffer_text(out, "  q_sum: sum(q)\n");
    }
    if (job->few_stats) {
        return;
    }
    mr_buffer_format(out, "  v_n: count(%s)\n  v_mean: mean(%s)\n  v_min: min(%s)\n", v, v, v);
    mr_buffer_format(out, "  v_max: max(%s)\n  v_first: first(%s)\n  v_std: std_pop(%s)\n", v, v,
                     v);
    mr_buffer_format(out, "  v_p50: quantile(%s, 0.5)\n  v_digest: digest(%s, error=1%%)\n", v, v);
    if (job->period_ns > 0) {
        mr_buffer_format(out, "  covered_s: covered\n  v_int: integral(%s)\n", v);
    }
}

static void add_text(struct mr_buffer *out, const struct sim_job *job,
                     const struct sim_epoch *epoch) {
    static const char *const late[] = {"revise", "drop", "dead_letter"};
    mr_buffer_text(out, "job: " SIM_JOB "\nlog: \"memory:\"\n");
    add_from(out, job);
    mr_buffer_text(out, "lateness: {");
    add_duration(out, "grace", epoch->grace_ns);
    add_duration(out, ", idle", epoch->idle_ns);
    add_duration(out, ", max_ahead", job->max_ahead_ns);
    mr_buffer_format(out, ", late: %s}\n", late[job->late]);
    sim_put_join(out, job);
    add_steps(out, job);
    add_duration(out, "window: {every", job->window_ns);
    if (job->hop_ns < job->window_ns) {
        add_duration(out, ", hop", job->hop_ns);
    }
    mr_buffer_text(out, "}\n");
    add_stats(out, job);
    if (epoch->preview_ns > 0) {
        add_duration(out, "emit: {preview", epoch->preview_ns);
        mr_buffer_text(out, "}\n");
    }
    add_duration(out, "retain", epoch->retain_ns);
    add_duration(out, "\ncommit", epoch->commit_ns);
    mr_buffer_text(out, "\nto: [{topic: " SIM_OUTPUT "}]\n");
}

void sim_plan_load(struct sim *sim, struct sim_epoch *epoch) {
    struct mr_buffer text = {0};
    struct mr_faults faults = {0};
    add_text(&text, &sim->job, epoch);
    if (sim->verbose) {
        printf("%.*s\n", (int)text.length, text.data);
    }
    if (mr_job_load_text("sim.yaml", mr_buffer_slice(&text), &epoch->plan, &faults) != MR_OK) {
        mr_faults_print(&faults, stdout);
        sim_fail(sim, "the job does not load");
    }
    mr_faults_finish(&faults);
    mr_buffer_finish(&text);
    if (mr_plan_stages(epoch->plan, sim->job.partitions, epoch->stages) != sim->job.stages) {
        sim_fail(sim, "the job should have %u stages", sim->job.stages);
    }
}
