"""The bugs that sabotage.py plants: where, what stands there, what is put in its place, and the
tests that must notice one after the other."""
import collections

Sabotage = collections.namedtuple('Sabotage', 'name what file before after tests')

CONTRACT = ('test_contract_kafka',)
MEMBERS = ('test_contract_kafka_faults',)


def faults(test):
    return ('faults_test.py', 'Faults.test_' + test)


def trouble(test):
    return ('trouble_test.py', test)


def stages(test):
    return ('stages_test.py', 'Stages.test_' + test)


RESETS = faults('reset_connections_change_no_row')
HOLE = faults('a_hole_longer_than_the_session_changes_no_row_and_another_takes_over')
DELAYED = faults('a_delayed_end_of_a_transaction_cannot_end_the_next_one')
LOST = faults('a_lost_answer_to_a_commit_doubles_no_row')
STAGES = stages('reset_connections_change_no_row')
STAGES_LOST = stages('a_lost_answer_to_a_commit_doubles_no_delta')
STAGES_RESET = stages('a_reset_begins_anew_whatever_lies_between_the_stages')
STAGES_MOVED = stages('a_second_process_takes_over_a_topic_that_is_trimmed')
DELETED = trouble('Topics.test_committed_offsets_that_somebody_deleted')

SABOTAGES = [
    Sabotage('skip_offsets', 'the offsets are not sent with the transaction',
             'engine/log/kafka_commit.c', 'if (!error && positions->cnt > 0) {',
             'if (!error && positions->cnt > 1000) {', [CONTRACT, RESETS]),
    Sabotage('recycle_off', 'the producer is kept although a request had no answer',
             'engine/log/kafka_writer.c', 'atomic_store(&writer->doubt, true);',
             'atomic_store(&writer->doubt, false);', [DELAYED]),
    Sabotage('stale_metadata', 'the generation is fetched once, at the first commit',
             'engine/log/kafka_group.c',
             '    rd_kafka_consumer_group_metadata_t *pass = '
             'rd_kafka_consumer_group_metadata(group->member);\n',
             '    static _Thread_local void *bytes;\n    static _Thread_local size_t size;\n'
             '    rd_kafka_consumer_group_metadata_t *pass = '
             'rd_kafka_consumer_group_metadata(group->member);\n'
             '    if (!bytes) {\n'
             '        rd_kafka_consumer_group_metadata_write(pass, &bytes, &size);\n    }\n'
             '    rd_kafka_consumer_group_metadata_destroy(pass);\n'
             '    rd_kafka_consumer_group_metadata_read(&pass, bytes, size);\n',
             [CONTRACT, RESETS]),
    Sabotage('metadata_of_nobody', 'the group is named, but no member and no generation',
             'engine/log/kafka_group.c',
             '    rd_kafka_mem_free(NULL, id);\n    return pass;\n',
             '    rd_kafka_mem_free(NULL, id);\n'
             '    return rd_kafka_consumer_group_metadata_new(group->job);\n', [MEMBERS]),
    Sabotage('ownership_unchecked', 'a commit may name partitions that are not the session\'s',
             'engine/log/kafka_session.c',
             '!mr_kafka_group_owns(&s->group, positions, count) ||', '', [CONTRACT, MEMBERS]),
    Sabotage('offset_high', 'the committed offset is one too high', 'engine/log/kafka_session.c',
             'to->offset = position->offset;', 'to->offset = position->offset + 1;',
             [CONTRACT, RESETS]),
    Sabotage('offset_low', 'the committed offset is one too low', 'engine/log/kafka_session.c',
             'to->offset = position->offset;', 'to->offset = position->offset - 1;',
             [CONTRACT, RESETS]),
    Sabotage('note_with_its_writer', 'the writer is not taken off the note',
             'engine/log/kafka_offsets.c', '*note = (struct mr_slice){space + 1, metadata.length '
             '- length - 1};', '*note = metadata;', [CONTRACT]),
    Sabotage('none_as_zero', '"no offset" is taken as zero', 'engine/log/kafka_offsets.c',
             'answer->offset < 0 ? -1 : answer->offset', 'answer->offset < 0 ? 0 : answer->offset',
             [CONTRACT, DELETED]),
    Sabotage('restore_early', 'a changelog is read to the last stable offset only',
             'engine/log/kafka_reader.c', 'reader->ended = end >= reader->target;',
             'reader->ended = end >= 0;', [CONTRACT, MEMBERS]),
    Sabotage('unknown_as_committed', 'a commit without an answer counts as made',
             'engine/log/kafka_commit.c',
             'return fence && sure ? MR_FENCED : deciding ? MR_UNKNOWN : MR_ABORTED;',
             'return fence && sure ? MR_FENCED : MR_COMMITTED;', [MEMBERS, LOST, RESETS, HOLE]),
    Sabotage('fenced_as_committed', 'a commit that is refused for another member counts as made',
             'engine/log/kafka_commit.c',
             'return !sure ? MR_UNKNOWN : is_no_member(code) ? MR_FENCED : MR_ABORTED;',
             'return !sure ? MR_UNKNOWN : is_no_member(code) ? MR_COMMITTED : MR_ABORTED;',
             [MEMBERS, RESETS, HOLE]),
    Sabotage('dead_letter_outside', 'dead letters are written beside the transaction',
             'engine/log/kafka_session.c',
             '    enum mr_status status = mr_kafka_writer_append(&s->writer, record, err);\n',
             '    struct mr_session *aside;\n'
             '    if (s->job && strstr(record->topic, "-dead-letters") &&\n'
             '        mr_kafka_session_open(&s->log->base, &(struct mr_session_options){0},\n'
             '                              &aside, err) == MR_OK) {\n'
             '        mr_kafka_session_append(aside, record, err);\n'
             '        mr_kafka_session_commit(aside, NULL, 0, err);\n'
             '        mr_kafka_session_close(aside);\n        return MR_OK;\n    }\n'
             '    enum mr_status status = mr_kafka_writer_append(&s->writer, record, err);\n',
             [RESETS, HOLE]),
    Sabotage('uncommitted_input', 'what is not committed is read too',
             'engine/log/kafka_config.c', '{"isolation.level", "read_committed", READER | MEMBER,',
             '{"isolation.level", "read_uncommitted", READER | MEMBER,', [CONTRACT, MEMBERS,
                                                                 STAGES]),
    Sabotage('delta_outside', 'deltas and markers are written beside the transaction',
             'engine/log/kafka_session.c',
             '    enum mr_status status = mr_kafka_writer_append(&s->writer, record, err);\n',
             '    struct mr_session *aside;\n'
             '    if (s->job && strstr(record->topic, "-repartition") &&\n'
             '        mr_kafka_session_open(&s->log->base, &(struct mr_session_options){0},\n'
             '                              &aside, err) == MR_OK) {\n'
             '        mr_kafka_session_append(aside, record, err);\n'
             '        mr_kafka_session_commit(aside, NULL, 0, err);\n'
             '        mr_kafka_session_close(aside);\n        return MR_OK;\n    }\n'
             '    enum mr_status status = mr_kafka_writer_append(&s->writer, record, err);\n',
             [STAGES_LOST, STAGES]),
    Sabotage('one_identity', 'both stages write transactions with one id',
             'engine/log/kafka_session.c',
             '    char *id = s->job ? make_text(s->job, "-", s->id) : NULL;\n',
             '    char *id = s->job ? make_text(s->job, "-", s->id) : NULL;\n'
             '    if (id && strstr(id, "-regroup-")) {\n'
             '        char *from = strstr(id, "-regroup-");\n'
             '        memmove(from, from + 8, strlen(from + 8) + 1);\n    }\n', [STAGES]),
    Sabotage('trim_to_the_end', 'what is not read yet is trimmed too', 'engine/run/trim.c',
             '            trim(trimmer, log, task, before);\n            return;',
             '            trim(trimmer, log, task, -1);\n            return;',
             [STAGES_MOVED, STAGES]),
    Sabotage('trim_before_it_is_due', 'a trim reaches one record further than asked for',
             'engine/log/kafka_change.c', 'RD_KAFKA_OFFSET_END : trim->before;',
             'RD_KAFKA_OFFSET_END : trim->before + 1;', [CONTRACT]),
    Sabotage('reset_leaves_deltas', 'a reset leaves what lies between the stages',
             'engine/run/trim.c', 'status = mr_log_trim(log, &source, -1, err);',
             'status = mr_log_trim(log, &source, 0, err);', [STAGES_RESET]),
    Sabotage('tick_without_position', 'a task that only ticked commits no position',
             'engine/run/close.c',
             '    mr_store_close(task->store, cell);\n    task->moved = true;',
             '    mr_store_close(task->store, cell);', [('test_sim', '--seeds', '1000')]),
]
