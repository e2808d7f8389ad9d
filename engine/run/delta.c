/* Deltas and markers as bytes: the records of a repartition topic.
 *
 *   delta    'd' | u64 layout | varint upstream | varint samples | u64 start_ns |
 *            varint end - start | varint length | group | packed measures
 *   marker   'm' | varint upstream | u64 T | u8 idle | u64 seen_ns | u64 sent_ns
 *
 * Little endian. The engine's own: nobody else writes them, and one that cannot be read stops the
 * job. */
#include "engine/run/stage.h"

static void put_kind(struct mr_buffer *out, char kind) {
    mr_buffer_add(out, &kind, 1);
}

void mr_delta_write(const struct mr_delta *delta, struct mr_buffer *out) {
    put_kind(out, 'd');
    mr_put_u64(out, delta->layout);
    mr_put_varint(out, delta->upstream);
    mr_put_varint(out, delta->samples);
    mr_put_u64(out, (uint64_t)delta->span.start_ns);
    mr_put_varint(out, (uint64_t)delta->span.end_ns - (uint64_t)delta->span.start_ns);
    mr_put_varint(out, delta->group.length);
    mr_buffer_add(out, delta->group.data, delta->group.length);
    mr_buffer_add(out, delta->packed.data, delta->packed.length);
}

void mr_marker_write(const struct mr_marker *marker, struct mr_buffer *out) {
    uint8_t idle = marker->idle;
    put_kind(out, 'm');
    mr_put_varint(out, marker->upstream);
    mr_put_u64(out, (uint64_t)marker->watermark_ns);
    mr_buffer_add(out, &idle, 1);
    mr_put_u64(out, (uint64_t)marker->seen_ns);
    mr_put_u64(out, (uint64_t)marker->sent_ns);
}

static bool read_delta(struct mr_bytes_reader *reader, struct mr_delta *delta) {
    delta->layout = mr_get_u64(reader);
    uint64_t upstream = mr_get_varint(reader);
    delta->samples = mr_get_varint(reader);
    delta->span.start_ns = (int64_t)mr_get_u64(reader);
    uint64_t length = mr_get_varint(reader), group = mr_get_varint(reader);
    if (reader->bad || upstream >= MR_PARTITIONS_MAX || group > MR_KEY_MAX || length == 0 ||
        length > INT64_MAX ||
        __builtin_add_overflow(delta->span.start_ns, (int64_t)length, &delta->span.end_ns)) {
        return false;
    }
    delta->upstream = (uint32_t)upstream;
    delta->group = mr_get_bytes(reader, group);
    delta->packed = mr_get_bytes(reader, (size_t)(reader->end - reader->at));
    return !reader->bad;
}

static bool read_marker(struct mr_bytes_reader *reader, struct mr_marker *marker) {
    uint64_t upstream = mr_get_varint(reader);
    marker->watermark_ns = (int64_t)mr_get_u64(reader);
    struct mr_slice idle = mr_get_bytes(reader, 1);
    marker->seen_ns = (int64_t)mr_get_u64(reader);
    marker->sent_ns = (int64_t)mr_get_u64(reader);
    if (reader->bad || reader->at != reader->end || upstream >= MR_PARTITIONS_MAX ||
        (uint8_t)idle.data[0] > 1 ||
        (marker->watermark_ns < 0 && marker->watermark_ns != MR_NEVER)) {
        return false;
    }
    marker->upstream = (uint32_t)upstream;
    marker->idle = idle.data[0];
    return true;
}

enum mr_stage_record mr_stage_read(struct mr_slice bytes, struct mr_delta *delta,
                                   struct mr_marker *marker) {
    const uint8_t *at = (const uint8_t *)bytes.data;
    if (bytes.length == 0) {
        return MR_STAGE_DAMAGED;
    }
    struct mr_bytes_reader reader = {at + 1, at + bytes.length, false};
    if (*at == 'd' && read_delta(&reader, delta)) {
        return MR_STAGE_DELTA;
    }
    return *at == 'm' && read_marker(&reader, marker) ? MR_STAGE_MARKER : MR_STAGE_DAMAGED;
}

int64_t mr_lease_ns(const struct mr_plan *plan) {
    int64_t idle_ns = plan->lateness.idle_ns, two_ns = 2 * plan->commit_ns;
    return idle_ns > two_ns ? idle_ns : two_ns;
}
