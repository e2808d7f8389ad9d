/* flow: see flow.h. Time is the monotonic clock. When the ring of marks is full, the last mark is
 * moved: those bytes wait a little longer, none goes too early. */
#include "tests/kafka/flow.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { STEPS_A_SECOND = 20 }; /* a trickle comes in steps, of one byte at least */

int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void flow_start(struct flow *flow) {
    flow->out = flow->in = flow->checked = 0;
    flow->gate = UINT64_MAX;
    flow->next_ns = 0;
    flow->ended = false;
    flow->first = flow->count = 0;
}

size_t flow_room(const struct flow *flow) {
    return flow->ended ? 0 : FLOW_BYTES - (size_t)(flow->in - flow->out);
}

void flow_inspect(struct flow *flow, flow_look *look, void *arg) {
    while (flow->gate == UINT64_MAX && flow->in >= flow->checked + 4) {
        const uint8_t *head = flow->bytes + (flow->checked - flow->out);
        size_t frame = (size_t)flow_u32(head) + 4;
        size_t length = frame < FLOW_HEAD ? frame : FLOW_HEAD;
        if (flow->in < flow->checked + length) {
            return;
        }
        look(arg, flow, head, length); /* may set the gate, to `checked` */
        flow->checked += frame;
    }
}

static void mark(struct flow *flow, int64_t due) {
    if (flow->count < FLOW_MARKS) {
        flow->count++;
    }
    size_t last = (flow->first + flow->count - 1) % FLOW_MARKS;
    flow->marks[last].end = flow->in;
    flow->marks[last].due = due;
}

void flow_fill(struct flow *flow, int fd, const struct faults *faults, flow_look *look, void *arg) {
    ssize_t n = recv(fd, flow->bytes + (flow->in - flow->out), flow_room(flow), 0);
    if (n > 0) {
        flow->in += (uint64_t)n;
        mark(flow, now_ns() + faults->delay_ns);
        flow_inspect(flow, look, arg);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        flow->ended = true;
    }
}

size_t flow_ready(struct flow *flow, const struct faults *faults, int64_t now, int64_t *wake_ns) {
    uint64_t limit = flow->gate < flow->checked ? flow->gate : flow->checked;
    while (flow->count && flow->marks[flow->first].end <= flow->out) {
        flow->first = (flow->first + 1) % FLOW_MARKS;
        flow->count--;
    }
    uint64_t due = flow->out;
    for (size_t i = 0; i < flow->count; i++) {
        size_t at = (flow->first + i) % FLOW_MARKS;
        if (flow->marks[at].due > now) {
            *wake_ns = flow->marks[at].due < *wake_ns ? flow->marks[at].due : *wake_ns;
            break;
        }
        due = flow->marks[at].end;
    }
    limit = due < limit ? due : limit;
    if (faults->hole || limit <= flow->out) {
        return 0;
    }
    if (faults->rate && now < flow->next_ns) {
        *wake_ns = flow->next_ns < *wake_ns ? flow->next_ns : *wake_ns;
        return 0;
    }
    size_t ready = (size_t)(limit - flow->out);
    size_t step = (size_t)(faults->rate / STEPS_A_SECOND) + 1;
    return faults->rate && ready > step ? step : ready;
}

bool flow_drain(struct flow *flow, int fd, size_t n, const struct faults *faults, int64_t now) {
    ssize_t sent = send(fd, flow->bytes, n, MSG_NOSIGNAL);
    if (sent < 0) {
        return errno == EAGAIN || errno == EINTR || errno == ENOTCONN;
    }
    memmove(flow->bytes, flow->bytes + sent, (size_t)(flow->in - flow->out) - (size_t)sent);
    flow->out += (uint64_t)sent;
    if (faults->rate) {
        flow->next_ns = now + (int64_t)sent * 1000000000 / faults->rate;
    }
    return true;
}

void flow_discard(struct flow *flow) {
    uint64_t to = flow->in < flow->checked ? flow->in : flow->checked;
    memmove(flow->bytes, flow->bytes + (to - flow->out), (size_t)(flow->in - to));
    flow->out = to;
}
