/* What a session on Kafka can be asked without a broker: the notes of committed offsets, and
 * whether a leader answers. */
#include "engine/log/kafka_session.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool split(const char *metadata, struct mr_slice *writer, struct mr_slice *note) {
    return mr_kafka_note_split(mr_slice_of(metadata), writer, note);
}

static void a_note_comes_back_without_its_writer(void **state) {
    struct mr_slice writer, note;
    assert_true(split("e3a1-0 T=17 R=12", &writer, &note));
    assert_true(mr_slice_equal(writer, mr_slice_of("e3a1-0")));
    assert_true(mr_slice_equal(note, mr_slice_of("T=17 R=12")));
    assert_true(split("0 ", &writer, &note));
    assert_true(mr_slice_equal(writer, mr_slice_of("0")));
    assert_int_equal(note.length, 0);
}

static void what_others_wrote_is_no_note(void **state) {
    struct mr_slice writer, note;
    char endless[MR_KAFKA_WRITER_MAX + 8];
    memset(endless, 'x', sizeof endless);
    memcpy(endless + sizeof endless - 3, " n", 3);
    assert_false(split("", &writer, &note));
    assert_false(split("someone", &writer, &note));
    assert_false(split(" T=1", &writer, &note));
    assert_false(split(endless, &writer, &note));
    assert_false(mr_kafka_note_split((struct mr_slice){0}, &writer, &note));
}

static void a_leader_answers_when_two_answers_came_lately(void **state) {
    int64_t now_ns = mr_real_clock.steady_ns(&mr_real_clock);
    int32_t leaders[] = {7, -1};
    struct mr_kafka_pulse pulse = {
        .leaders = leaders, .count = 2, .stale_ns = 60 * MR_SECOND, .asked_ns = now_ns};
    assert_false(mr_kafka_pulse_beats(&pulse, 0));
    pulse.last_ns[7] = now_ns;
    assert_false(mr_kafka_pulse_beats(&pulse, 0));
    pulse.before_ns[7] = now_ns - 61 * MR_SECOND;
    assert_false(mr_kafka_pulse_beats(&pulse, 0));
    pulse.before_ns[7] = now_ns;
    assert_true(mr_kafka_pulse_beats(&pulse, 0));
    assert_false(mr_kafka_pulse_beats(&pulse, 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_note_comes_back_without_its_writer),
        cmocka_unit_test(what_others_wrote_is_no_note),
        cmocka_unit_test(a_leader_answers_when_two_answers_came_lately),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
