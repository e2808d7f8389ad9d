"""The bugs that sabotage.py plants: where, what stands there, and what is put in its place."""
import collections

Sabotage = collections.namedtuple('Sabotage', 'name what file before after')

SABOTAGES = [
    # ---- Two stages: what the first one sends
    Sabotage('marker_before_deltas', 'a marker is sent before its deltas', 'engine/run/commit.c',
             '    if (mr_ship_deltas(task, err) != MR_OK) {\n        return MR_ABORTED;\n    }\n'
             '    if (!reach(watch, "markers")) {\n        return stopped(err);\n    }\n'
             '    return mr_ship_markers(task, err) == MR_OK ? MR_COMMITTED : MR_ABORTED;\n',
             '    if (mr_ship_markers(task, err) != MR_OK) {\n        return MR_ABORTED;\n    }\n'
             '    if (!reach(watch, "markers")) {\n        return stopped(err);\n    }\n'
             '    return mr_ship_deltas(task, err) == MR_OK ? MR_COMMITTED : MR_ABORTED;\n'),
    Sabotage('no_marker_on_tick', 'a tick alone sends no marker', 'engine/run/ship.c',
             '    if (!is_idle(task)) {\n        return false; /*',
             '    if (true) {\n        return false; /*'),
    Sabotage('lease_not_renewed', 'an idle lease is not renewed', 'engine/run/ship.c',
             '    return held_ns >= mr_lease_ns(task->plan) / 2;\n',
             '    return held_ns < 0;\n'),
    Sabotage('idle_change_not_told', 'a partition that is idle no more says so only when T moves',
             'engine/run/ship.c', '           ship->last.idle != is_idle(task) ||', '          '),
    Sabotage('delta_twice', 'a delta is sent twice', 'engine/run/ship.c',
             '    return mr_session_append(task->session, &append, err);\n}\n\n'
             'enum mr_status mr_ship_deltas',
             '    mr_session_append(task->session, &append, err);\n'
             '    return mr_session_append(task->session, &append, err);\n}\n\n'
             'enum mr_status mr_ship_deltas'),
    Sabotage('cells_kept', 'what was sent is not forgotten, and sent again', 'engine/run/ship.c',
             '    return mr_store_ship(task->store, ship_cell, task, err);\n',
             '    mr_store_ship(task->store, ship_cell, task, err);\n'
             '    return mr_store_ship(task->store, ship_cell, task, err);\n'),
    Sabotage('marker_to_one', 'a marker goes to one partition only', 'engine/run/ship.c',
             'for (uint32_t p = 0; p < task->partitions && status == MR_OK; p++) {',
             'for (uint32_t p = task->source.partition; p <= task->source.partition && '
             'status == MR_OK; p++) {'),
    Sabotage('delta_elsewhere', 'deltas go to the partition of their input', 'engine/run/ship.c',
             '    append.partition = mr_partition_of(append.key, task->partitions, NULL);\n',
             '    append.partition = task->source.partition;\n'),
    Sabotage('ticking_idle', 'an idle partition is sent with the T of its last record',
             'engine/run/ship.c', '.watermark_ns = task->times.watermark_ns,',
             '.watermark_ns = task->times.stream_ns,'),
    # ---- Two stages: what the second one makes of it
    Sabotage('all_idle_minimum', 'all idle: the smallest T', 'engine/run/merge.c',
             'return all_idle ? largest : least;',
             'int64_t smallest = INT64_MAX;\n'
             '    for (uint32_t p = 0; p < merge->partitions; p++) {\n'
             '        smallest = merge->markers[p].watermark_ns < smallest\n'
             '                       ? merge->markers[p].watermark_ns : smallest;\n    }\n'
             '    return all_idle && largest > 0 ? smallest : least;'),
    Sabotage('unspoken_does_not_hold', 'a partition that has not spoken does not hold T',
             'engine/run/merge.c',
             '        if (!merge->known[p]) {\n            return MR_NEVER;\n',
             '        if (!merge->known[p]) {\n            continue;\n'),
    Sabotage('unspoken_idle', 'a partition that has not spoken is idle', 'engine/run/merge.c',
             '        if (!merge->known[p]) {\n            return MR_NEVER;\n        }\n',
             '        if (!merge->known[p]) {\n            merge->markers[p] = '
             '(struct mr_marker){p, MR_NEVER, true, INT64_MAX / 2, 0};\n            continue;\n'
             '        }\n'),
    Sabotage('lease_forever', 'an idle marker is believed for ever', 'engine/run/merge.c',
             'if (!marker->idle || newest_ns > mr_time_add(marker->seen_ns, lease_ns)) {',
             'if (!marker->idle) {'),
    Sabotage('idle_not_believed', 'an idle partition holds T', 'engine/run/merge.c',
             'if (!marker->idle || newest_ns > mr_time_add(marker->seen_ns, lease_ns)) {',
             'if (newest_ns > 0) {'),
    Sabotage('markers_not_restored', 'the markers are not restored', 'engine/run/merge.c',
             '        merge->known[p] = true;\n    }\n    merge->loaded',
             '        merge->known[p] = false;\n    }\n    merge->loaded'),
    Sabotage('markers_not_logged', 'the markers are not in the changelog', 'engine/run/merge.c',
             '    mr_store_touch(task->store, cell);\n    task->merge->known',
             '    task->merge->known'),
    Sabotage('downstream_ticks', 'the second stage ticks by itself', 'engine/run/time.c',
             '    if (task->plan->role == MR_DOWNSTREAM) {\n        return MR_OK;\n    }\n',
             ''),
    Sabotage('late_deltas_used', 'late deltas count as used', 'engine/run/merge.c',
             '    return cell ? mr_store_merge(',
             '    task->counters.samples.used += task->outcome.late;\n'
             '    task->counters.samples.late -= task->outcome.late;\n'
             '    return cell ? mr_store_merge('),
    Sabotage('any_delta_accepted', 'deltas are not judged', 'engine/run/merge.c',
             '    struct mr_cell *cell = mr_task_cell(task, delta->group, delta->span, '
             'delta->samples);\n',
             '    struct mr_times times = task->times;\n'
             '    task->times = (struct mr_times){MR_NEVER, MR_NEVER, MR_NEVER};\n'
             '    struct mr_cell *cell = mr_task_cell(task, delta->group, delta->span, '
             'delta->samples);\n'
             '    task->times = times;\n'),
]
