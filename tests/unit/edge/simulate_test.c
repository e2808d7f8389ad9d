/* Simulated instruments: the same bytes for the same seed, sound frames, two waveforms. */
#include "operators/operators.h"
#include "tests/unit/edge/edge_log.h"

#include <millrace/codec.h>
#include <millrace/hash.h>

static struct mr_simulation simulation(void) {
    return (struct mr_simulation){.devices = 2,
                                  .first_device = 1,
                                  .rate_hz = 1000,
                                  .span_ns = 60 * MR_SECOND,
                                  .start_ns = NOW,
                                  .seed = 1};
}

static enum mr_status simulate(const struct mr_simulation *what) {
    return mr_simulate(test_log, &target, what, &written, &err);
}

/* ---- What was written ---------------------------------------------------------------------- */
enum { DEVICE, SEQUENCE, CURRENT, VOLTAGE, FIELDS };
static const struct mr_field fields[FIELDS] = {{"device", MR_TEXT, false, false},
                                               {"sequence", MR_INTEGER, false, false},
                                               {"current", MR_F32, false, false},
                                               {"voltage", MR_F32, false, false}};
static const struct mr_input input = {
    .fields = fields, .field_count = FIELDS, .key_source = MR_KEY_FIELD, .key_name = "device"};

/* Of one device, or of all when `device` is NULL. */
struct seen {
    const char *device;
    size_t frames, samples;
    int64_t first_ns, next_ns; /* of the first sample; of the one after the last */
    uint64_t hash;             /* of all bytes in order */
    float peak;                /* of current within a period and algorithm: see below */
    double charge;             /* sum of current */
    float lowest_v, highest_v;
    int64_t from_ns, to_ns; /* only samples in between count for peak and charge */
};

static void add_samples(struct seen *seen, const struct mr_record *record) {
    for (size_t i = 0; i < record->samples; i++) {
        int64_t ns = mr_sample_ns(record, i);
        float a = record->values[CURRENT].f32[i], v = record->values[VOLTAGE].f32[i];
        seen->lowest_v = v < seen->lowest_v ? v : seen->lowest_v;
        seen->highest_v = v > seen->highest_v ? v : seen->highest_v;
        if (ns >= seen->from_ns && ns < seen->to_ns) {
            seen->peak = a > seen->peak ? a : seen->peak;
            seen->charge += (double)a;
        }
    }
}

static void see_frame(void *arg, const struct mr_message *message) {
    struct seen *seen = arg;
    struct mr_arena *arena = mr_arena_create();
    struct mr_decoded decoded;
    void *codec;
    assert_int_equal(mr_waveform_codec.open(&input, true, &codec, NULL), MR_OK);
    mr_waveform_codec.decode(codec, message, arena, &decoded);
    assert_string_equal(decoded.reason.text, "");
    assert_int_equal(decoded.count, 1);
    const struct mr_record *record = decoded.records;
    if (!seen->device || mr_slice_equal(message->key, mr_slice_of(seen->device))) {
        if (seen->device) {
            assert_int_equal(record->values[SEQUENCE].integer, seen->frames);
            int64_t gap_ns = seen->frames == 0 ? 0 : record->start_ns - seen->next_ns;
            assert_true(gap_ns >= -1 && gap_ns <= 1); /* both are rounded */
        }
        seen->first_ns = seen->frames == 0 ? record->start_ns : seen->first_ns;
        seen->next_ns = mr_sample_ns(record, record->samples);
        seen->frames++;
        seen->samples += record->samples;
        seen->hash = seen->hash * 31 + mr_hash64(message->value.data, message->value.length);
        add_samples(seen, record);
    }
    mr_waveform_codec.close(codec);
    mr_arena_destroy(arena);
}

static struct seen see(const char *device) {
    struct seen seen = {.device = device, .lowest_v = 99, .to_ns = INT64_MAX};
    for (uint32_t i = 0; i < written.partitions; i++) {
        each_record(i, see_frame, &seen);
    }
    return seen;
}

static struct seen see_between(const char *device, int64_t from_ns, int64_t to_ns) {
    struct seen seen = {.device = device, .lowest_v = 99, .from_ns = from_ns, .to_ns = to_ns};
    each_record(0, see_frame, &seen);
    return seen;
}

/* ---- Tests --------------------------------------------------------------------------------- */
static void a_slow_rate_gives_a_frame_a_second_without_gaps(void **state) {
    struct mr_simulation what = simulation();
    assert_int_equal(simulate(&what), MR_OK);
    assert_int_equal(written.records, 120);
    struct seen seen = see("js220-02");
    assert_int_equal(seen.frames, 60);
    assert_int_equal(seen.samples, 60000);
    assert_int_equal(seen.first_ns, NOW);
    assert_int_equal(seen.next_ns, NOW + 60 * MR_SECOND);
}

static void a_fast_rate_gives_frames_of_8192_samples_and_a_shorter_last_one(void **state) {
    struct mr_simulation what = simulation();
    what.rate_hz = 2e6;
    what.span_ns = MR_SECOND / 10;
    what.devices = 1;
    assert_int_equal(simulate(&what), MR_OK);
    struct seen seen = see("js220-01");
    assert_int_equal(seen.frames, 25);
    assert_int_equal(seen.samples, 200000);
    assert_int_equal(seen.next_ns, NOW + MR_SECOND / 10);
}

static void an_odd_rate_leaves_no_gap_either(void **state) {
    struct mr_simulation what = simulation();
    what.rate_hz = 44100.5;
    what.span_ns = 3 * MR_SECOND;
    assert_int_equal(simulate(&what), MR_OK);
    assert_int_equal(see("js220-01").samples, 132302);
}

static void the_same_seed_and_start_give_the_same_bytes(void **state) {
    struct mr_simulation what = simulation();
    assert_int_equal(simulate(&what), MR_OK);
    uint64_t hash = see(NULL).hash;
    close_log(state);
    open_log(state);
    test_clock.virtual_ns += 12345;
    assert_int_equal(simulate(&what), MR_OK);
    assert_true(see(NULL).hash == hash);
    close_log(state);
    open_log(state);
    what.seed = 2;
    assert_int_equal(simulate(&what), MR_OK);
    assert_true(see(NULL).hash != hash);
}

/* The bytes themselves, so that another machine or compiler that gives others is noticed. */
static void the_bytes_are_these(void **state) {
    struct mr_simulation what = simulation();
    assert_int_equal(simulate(&what), MR_OK);
    assert_int_equal(see(NULL).hash, UINT64_C(0xb2e56821e0f94ec3));
}

static void a_device_has_the_same_bytes_alone_and_among_others(void **state) {
    struct mr_simulation what = simulation();
    assert_int_equal(simulate(&what), MR_OK);
    uint64_t hash = see("js220-02").hash;
    close_log(state);
    open_log(state);
    what.first_device = 2;
    what.devices = 1;
    assert_int_equal(simulate(&what), MR_OK);
    assert_true(see("js220-02").hash == hash);
}

static void without_a_start_event_time_ends_at_now(void **state) {
    struct mr_simulation what = simulation();
    what.start_ns = MR_NEVER;
    assert_int_equal(simulate(&what), MR_OK);
    assert_int_equal(see("js220-01").next_ns, NOW);
}

static void the_two_algorithms_draw_recognisably_different_currents(void **state) {
    struct mr_simulation what = simulation();
    what.devices = 8;
    assert_int_equal(simulate(&what), MR_OK);
    /* Device 1 is 7 s ahead: slots change at 23 s and 53 s of each minute. */
    struct seen one = see_between("js220-01", NOW + 24 * MR_SECOND, NOW + 52 * MR_SECOND);
    struct seen other = see_between("js220-01", NOW, NOW + 22 * MR_SECOND);
    struct seen race = one.peak > other.peak ? one : other;
    struct seen steady = one.peak > other.peak ? other : one;
    assert_true(race.peak > 0.22f && race.peak < 0.28f);
    assert_true(steady.peak > 0.036f && steady.peak < 0.044f);
    double race_mean = race.charge / (race.to_ns == NOW + 22 * MR_SECOND ? 22e3 : 28e3);
    double steady_mean = steady.charge / (steady.to_ns == NOW + 22 * MR_SECOND ? 22e3 : 28e3);
    assert_true(race_mean > 0.0308 && race_mean < 0.0328);
    assert_true(steady_mean > 0.0273 && steady_mean < 0.0293);
    assert_true(one.lowest_v > 3.2f && one.highest_v < 3.31f);
}

static void devices_are_spread_over_the_partitions_by_their_key(void **state) {
    struct mr_simulation what = simulation();
    what.devices = 16;
    what.span_ns = MR_SECOND;
    target.partitions = 4;
    assert_int_equal(simulate(&what), MR_OK);
    for (uint32_t i = 0; i < 4; i++) {
        struct seen seen = {.lowest_v = 99, .to_ns = INT64_MAX};
        assert_true(each_record(i, see_frame, &seen) > 0);
    }
    assert_int_equal(see(NULL).frames, 16);
}

static void in_real_time_a_frame_comes_when_its_last_sample_is_due(void **state) {
    struct mr_log *log;
    struct mr_simulation what = simulation();
    what.real_time = true;
    what.start_ns = MR_NEVER;
    what.rate_hz = 1e5;
    what.span_ns = MR_SECOND / 4;
    assert_int_equal(
        mr_log_open("memory:", &(struct mr_log_options){.make = true}, &mr_real_clock, &log, &err),
        MR_OK);
    int64_t begin_ns = mr_real_clock.steady_ns(&mr_real_clock);
    assert_int_equal(mr_simulate(log, &target, &what, &written, &err), MR_OK);
    assert_true(mr_real_clock.steady_ns(&mr_real_clock) - begin_ns >= MR_SECOND / 4);
    assert_int_equal(written.records, 8);
    mr_log_close(log);
}

static void a_stop_ends_it_after_a_commit(void **state) {
    struct mr_simulation what = simulation();
    what.real_time = true;
    stop = true;
    assert_int_equal(simulate(&what), MR_OK);
    assert_int_equal(written.records, 0);
}

static void a_time_or_a_rate_that_cannot_be_is_refused(void **state) {
    struct mr_simulation what = simulation();
    what.start_ns = INT64_MAX - 5;
    assert_int_equal(simulate(&what), MR_REJECT);
    what = simulation();
    what.rate_hz = 0.001;
    assert_int_equal(simulate(&what), MR_REJECT);
    assert_non_null(strstr(err.text, "samples a device"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_log, close_log)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_slow_rate_gives_a_frame_a_second_without_gaps),
        TEST(a_fast_rate_gives_frames_of_8192_samples_and_a_shorter_last_one),
        TEST(an_odd_rate_leaves_no_gap_either),
        TEST(the_same_seed_and_start_give_the_same_bytes),
        TEST(the_bytes_are_these),
        TEST(a_device_has_the_same_bytes_alone_and_among_others),
        TEST(without_a_start_event_time_ends_at_now),
        TEST(the_two_algorithms_draw_recognisably_different_currents),
        TEST(devices_are_spread_over_the_partitions_by_their_key),
        TEST(in_real_time_a_frame_comes_when_its_last_sample_is_due),
        TEST(a_stop_ends_it_after_a_commit),
        TEST(a_time_or_a_rate_that_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
