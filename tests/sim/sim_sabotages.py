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
    Sabotage('delta_twice', 'a delta is sent twice', 'engine/run/ship.c',
             '    return mr_session_append(task->session, &append, err);\n}\n\n'
             'enum mr_status mr_ship_deltas',
             '    mr_session_append(task->session, &append, err);\n'
             '    return mr_session_append(task->session, &append, err);\n}\n\n'
             'enum mr_status mr_ship_deltas'),
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
    # ---- Tables
    Sabotage('late_less', 'an entry is late when its time is < R, not <=', 'engine/run/table.c',
             'tally->late += entry->from_ns <= task->times.stream_ns',
             'tally->late += entry->from_ns < task->times.stream_ns'),
    Sabotage('late_never', 'no entry is late', 'engine/run/table.c',
             'tally->late += entry->from_ns <= task->times.stream_ns',
             'tally->late += entry->from_ns <= 0'),
    Sabotage('late_by_watermark', 'entries are late by T', 'engine/run/table.c',
             'tally->late += entry->from_ns <= task->times.stream_ns',
             'tally->late += entry->from_ns + 10 * MR_SECOND <= task->times.watermark_ns'),
    Sabotage('no_read_when_quiet', 'tables are not read on quiet polls', 'engine/run/worker.c',
             'mr_tables_read(task, true, err)', 'MR_OK'),
    Sabotage('no_read_before_batch', 'tables are not read before a batch', 'engine/run/worker.c',
             'mr_tables_read(task, false, err)', 'MR_OK'),
    Sabotage('tombstone_of_old', 'a tombstone holds from the beginning', 'engine/run/table.c',
             'entry->from_ns = append_stamped ? message->append_ns : message->timestamp_ns;',
             'entry->from_ns = 0;'),
    Sabotage('tombstone_clears', 'a tombstone is forgotten', 'engine/run/table.c',
             '    mr_versions_put(cell, entry);\n',
             '    if (!entry->none) {\n        mr_versions_put(cell, entry);\n    }\n'),
    Sabotage('tie_lower', 'of equal times the lower offset wins', 'engine/run/versions.c',
             '    if (again && versions_of(cell)[at - 1].offset >= entry->offset) {\n',
             '    if (again) {\n'),
    Sabotage('from_exclusive', 'a version holds behind its time, not at it',
             'engine/run/versions.c', 'if (versions_of(cell)[middle].from_ns <= time_ns) {',
             'if (versions_of(cell)[middle].from_ns < time_ns) {'),
    Sabotage('version_lost', 'versions are not restored', 'engine/run/restore.c',
             '        status = take(task, &kept, &batch.messages[i], err);\n',
             '        if (restore->number == 0 || batch.messages[i].key.length == 1) {\n'
             '            status = take(task, &kept, &batch.messages[i], err);\n        }\n'),
    Sabotage('version_unlogged', 'a version is not in the changelog', 'engine/run/table.c',
             '    tally->dropped += mr_versions_limit(cell);\n'
             '    mr_store_touch(it->store, found);',
             '    tally->dropped += mr_versions_limit(cell);'),
    Sabotage('position_lost', 'the position in the table is not committed', 'engine/run/account.c',
             '        task->tables[i].position = position;', '        (void)position;'),
    Sabotage('tallies_lost', 'the counters of tables are not restored', 'engine/run/account.c',
             '        task->counters.tables[i] = tally;', '        (void)tally;'),
    Sabotage('entry_moves_nothing', 'an entry alone is not committed', 'engine/run/table.c',
             '    task->moved = true;\n    task->counters.tables', '    task->counters.tables'),
    Sabotage('letters_of_all', 'every task keeps the letter of a bad entry', 'engine/run/table.c',
             'if (it->source.partition != task->source.partition) {',
             'if (it->source.partition > 1u << 20) {'),
    Sabotage('pruned_by_half', 'versions go after half of the history', 'engine/run/table.c',
             'return mr_time_add(task->times.stream_ns, -it->table->join.history_ns);',
             'return mr_time_add(task->times.stream_ns, -it->table->join.history_ns / 2);'),
    Sabotage('pruned_to_none', 'the newest version before the history goes too',
             'engine/run/versions.c', 'return passed > 0 ? passed - 1 : 0;', 'return passed;'),
    Sabotage('pruned_by_watermark', 'history is behind T, not R', 'engine/run/table.c',
             'return mr_time_add(task->times.stream_ns, -it->table->join.history_ns);',
             'return mr_time_add(task->times.watermark_ns, -it->table->join.history_ns);'),
    Sabotage('frame_uncut', 'a frame has what holds at its first sample', 'operators/asof.c',
             'return version->until_ns > record->last_ns ? record->samples',
             'return version->until_ns >= 0 ? record->samples'),
    Sabotage('cut_late', 'a frame is cut one sample late', 'operators/asof.c',
             'if (mr_sample_ns(record, middle) < time_ns) {',
             'if (mr_sample_ns(record, middle) <= time_ns) {'),
    Sabotage('values_not_moved', 'a part of a frame has the samples of its beginning',
             'operators/asof.c', '            value->f32 += begin;',
             '            value->f32 += 0;'),
    Sabotage('drop_passes', 'samples without an entry pass', 'operators/asof.c',
             'if (!version->there && join->missing == MR_MISSING_DROP) {',
             'if (!version->there && join->missing == MR_MISSING_DEAD_LETTER) {'),
    Sabotage('looks_at_one', 'a frame is looked through for the first table only',
             'operators/asof.c', 'return op && op->type->place == MR_PLACE_JOIN;',
             'return op && op->type->place == MR_PLACE_DUPLICATES;'),
    Sabotage('reset_forgets_versions', '--reset forgets the versions', 'engine/run/restore.c',
             '        status = take(task, &kept, &batch.messages[i], err);\n',
             '        if (restore->number == 0 || task->offset >= 0 ||\n'
             '            batch.messages[i].key.length == 1) {\n'
             '            status = take(task, &kept, &batch.messages[i], err);\n        }\n'),
]
