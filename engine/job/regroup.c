/* Regrouping: one stage or two, and the plans of both.
 *
 * One stage is enough where all records of a group lie in one partition: the partition key is
 * among the groups, or the topic has one partition. Else two:
 *
 *   input --> upstream --> <job>-regroup-repartition --> downstream --> outputs
 *             <job>-regroup                              <job>
 *
 *   upstream     the whole chain; aggregates between commits and sends what it has. It owns the
 *                repartition topic, the dead letters and a changelog of what its operators remember
 *   downstream   merges, closes windows, makes rows. It owns the outputs and the windows' changelog
 *
 * For the log these are two jobs, each with positions and transactions of its own: nothing else in
 * the engine needs to know of stages to be right. The plans share everything but what stands here,
 * and the statistics' accumulators are the same in both, so what the one packs the other unpacks:
 * the layout of the downstream stage is that of the cells in the repartition topic, too. */
#include "engine/job/load.h"

static bool is_grouped_by_key(const struct mr_plan *plan) {
    for (size_t i = 0; i < plan->group_count; i++) {
        if (plan->groups[i].slot == plan->input.key_slot) {
            return true;
        }
    }
    return false;
}

static struct mr_plan *copy(struct mr_loader *loader, enum mr_role role) {
    struct mr_plan *plan = mr_arena_take(loader->source.memory, sizeof *plan);
    *plan = *loader->plan;
    plan->role = role;
    return plan;
}

static const struct mr_plan *make_upstream(struct mr_loader *loader) {
    struct mr_plan *plan = copy(loader, MR_UPSTREAM);
    plan->member = mr_source_format(&loader->source, "%s-regroup", plan->job);
    plan->changelog_topic = mr_source_format(&loader->source, "%s-regroup-changelog", plan->job);
    plan->preview_ns = 0;
    mr_layout_make(loader, plan, MR_LAYOUT_KEYED);
    return plan;
}

static const struct mr_plan *make_downstream(struct mr_loader *loader) {
    struct mr_plan *plan = copy(loader, MR_DOWNSTREAM);
    plan->topic = plan->repartition_topic;
    plan->step_count = plan->table_count = 0;
    mr_layout_make(loader, plan, MR_LAYOUT_WINDOWS);
    return plan;
}

void mr_regroup_plan(struct mr_loader *loader) {
    struct mr_plan *plan = loader->plan;
    if (!plan->window.type || is_grouped_by_key(plan)) {
        return;
    }
    plan->repartition_topic =
        mr_source_format(&loader->source, "%s-regroup-repartition", plan->job);
    plan->downstream = make_downstream(loader);
    plan->upstream = make_upstream(loader); /* knows downstream, whose cells it sends */
}

size_t mr_plan_stages(const struct mr_plan *plan, uint32_t partitions,
                      const struct mr_plan *stages[2]) {
    bool two = plan->upstream && partitions != 1;
    stages[0] = two ? plan->upstream : plan;
    stages[1] = two ? plan->downstream : NULL;
    return two ? 2 : 1;
}
