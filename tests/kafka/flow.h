/* flow: one direction of a connection through the proxy. Bytes come in, frames are looked at, and
 * bytes go out as soon as nothing holds them back:
 *
 *        out          gate     checked        in
 *   -----+------------+--------+--------------+---->  position in the stream
 *        | may go     | held   | whose head   |
 *        |            |        | is not here  |
 *
 * A frame is looked at when its head (or all of it, if it is shorter) is here, and not before the
 * frames ahead of it: bytes beyond `checked` never go. A held frame holds what follows it on the
 * same connection, as a stalled connection does. */
#ifndef TESTS_KAFKA_FLOW_H
#define TESTS_KAFKA_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FLOW_BYTES = 256 << 10, FLOW_HEAD = 80, FLOW_MARKS = 64 };

struct flow {
    uint8_t bytes[FLOW_BYTES]; /* those from `out` to `in` */
    uint64_t out, in, checked;
    uint64_t gate;   /* nothing from here on goes; UINT64_MAX: open */
    int64_t next_ns; /* when a trickle goes on */
    bool ended;      /* no more will come in */
    struct {
        uint64_t end; /* the bytes before this one ... */
        int64_t due;  /* ... may go from this time on  */
    } marks[FLOW_MARKS];
    size_t first, count; /* of the ring of marks */
};

/* What goes for all connections at the moment. */
struct faults {
    int64_t delay_ns;
    int64_t rate; /* bytes a second, 0: no bound */
    bool hole;    /* nothing is read or written */
};

/* A frame's head: its first bytes, at most FLOW_HEAD of them, the length field included. */
typedef void flow_look(void *arg, struct flow *flow, const uint8_t *head, size_t length);

void flow_start(struct flow *flow);
size_t flow_room(const struct flow *flow);
/* Reads what there is and looks at each new frame. */
void flow_fill(struct flow *flow, int fd, const struct faults *faults, flow_look *look, void *arg);
/* Frames may follow a gate that has been opened. */
void flow_inspect(struct flow *flow, flow_look *look, void *arg);
/* How many bytes may go now. *wake_ns: when to ask again, if that is earlier. */
size_t flow_ready(struct flow *flow, const struct faults *faults, int64_t now, int64_t *wake_ns);
/* Writes up to `n` bytes. False: the other side is gone. */
bool flow_drain(struct flow *flow, int fd, size_t n, const struct faults *faults, int64_t now);
void flow_discard(struct flow *flow); /* the bytes that have been looked at */
/* Whether there are bytes that have been looked at. A head that is cut off for good is not one. */
static inline bool flow_is_under_way(const struct flow *flow) {
    return flow->out < flow->in && flow->out < flow->checked;
}
int64_t now_ns(void);

static inline uint32_t flow_u16(const uint8_t *at) {
    return (uint32_t)at[0] << 8 | at[1];
}
static inline uint32_t flow_u32(const uint8_t *at) {
    return flow_u16(at) << 16 | flow_u16(at + 2);
}

#endif
