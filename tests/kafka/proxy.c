/* proxy: a TCP proxy that makes trouble, between Kafka clients and one broker.
 *
 *   proxy LISTEN_PORT BROKER_HOST BROKER_PORT
 *
 * A broker tells its clients where it is, so it must advertise LISTEN_PORT for them to come through
 * here. Nothing is rewritten. Commands come on standard input, one a line; each is answered by one
 * line, "ok ..." or "error: ...". The end of standard input ends the proxy.
 *
 *   delay MS           every byte, either way, arrives that much later
 *   trickle N          N bytes a second on each connection, either way
 *   hole               nothing passes, nobody is told; after `heal` all of it does
 *   refuse             new connections are refused
 *   heal               ends the four above
 *   reset              RST on all connections, either side
 *   hold KEY N [ID]    holds the N-th request with this ApiKey from now on (1: the next), of
 *                      clients whose client.id begins with ID, and what follows on its connection
 *   lose KEY N [ID]    lets it pass, but not its answer, nor what follows on its connection
 *   held               "ok N", then for each held request " KEY HEX": the head of its frame
 *   release KEY old    lets go what is held of this ApiKey, even if its client has gone
 *   release KEY new    the same, on a new connection to the broker
 *   answer             the head of the answer to what was released last, or "ok -"
 *   status             counts: connections now, requests seen by ApiKey, ...
 *
 * hold and lose arm one rule; it fires once. A client that closes does not end what it has sent:
 * the broker's side of its connection stays until everything has reached the broker and a little
 * longer, as with packets that were under way. One thread, one poll loop. Every connection has two
 * buffers of a fixed size. */
#include "tests/kafka/commands.h"
#include "tests/kafka/flow.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINKS = 256, KEYS = 100, LINE = 256 };

static const int64_t ORPHAN_NS = 5000000000; /* a broker's side without a client lives so long */
static const int64_t FOREVER_NS = 1000000000000;

struct link {
    int client, broker; /* -1: closed */
    struct flow up, down;
    uint8_t head[FLOW_HEAD]; /* of the held request */
    size_t head_length;
    uint32_t watched, unanswered; /* correlation ids */
    bool watching, losing;        /* ... and whether they mean anything */
    int64_t orphaned_ns;          /* when everything had reached the broker, 0: not yet */
};

static struct {
    struct sockaddr_in listen, broker;
    int listener; /* -1: refusing */
    struct faults faults;
    struct link *links[LINKS];
    struct {
        bool armed, lose;
        int key, countdown;
        char client[64];
    } rule;
    uint8_t answer[FLOW_HEAD];
    size_t answer_length;
    uint64_t accepted, requests[KEYS], fired, lost;
    char line[LINE]; /* a command that has not come to its end */
    size_t line_length;
} proxy;

static _Noreturn void die(const char *what) {
    fprintf(stderr, "proxy: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- Frames -------------------------------------------------------------------------------- */

/* Request: length 4, ApiKey 2, ApiVersion 2, correlation id 4, client.id: length 2 and text. */
static bool rule_fits(const uint8_t *head, size_t length) {
    size_t wanted = strlen(proxy.rule.client);
    if (!proxy.rule.armed || flow_u16(head + 4) != (uint32_t)proxy.rule.key) {
        return false;
    }
    if (wanted && (length < 14 + wanted || memcmp(head + 14, proxy.rule.client, wanted) != 0)) {
        return false;
    }
    return --proxy.rule.countdown == 0;
}

static void look_at_request(void *arg, struct flow *flow, const uint8_t *head, size_t length) {
    struct link *link = arg;
    if (length < 12 || flow_u16(head + 4) >= KEYS) {
        return;
    }
    proxy.requests[flow_u16(head + 4)]++;
    if (!rule_fits(head, length)) {
        return;
    }
    proxy.rule.armed = false;
    proxy.fired++;
    if (proxy.rule.lose) {
        link->losing = true;
        link->unanswered = flow_u32(head + 8);
        return;
    }
    flow->gate = flow->checked;
    memcpy(link->head, head, length);
    link->head_length = length;
}

/* Response: length 4, correlation id 4. */
static void look_at_response(void *arg, struct flow *flow, const uint8_t *head, size_t length) {
    struct link *link = arg;
    uint32_t id = length < 8 ? 0 : flow_u32(head + 4);
    if (link->watching && id == link->watched) {
        link->watching = false;
        memcpy(proxy.answer, head, length);
        proxy.answer_length = length;
    }
    if (link->losing && id == link->unanswered) {
        proxy.lost++;
        flow->gate = flow->checked; /* for good: there is no release for answers */
    }
}

/* ---- Connections --------------------------------------------------------------------------- */

static int listen_again(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), yes = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(fd, (struct sockaddr *)&proxy.listen, sizeof proxy.listen) != 0 ||
        listen(fd, 128) != 0) {
        die("cannot listen");
    }
    return fd;
}

static void shut(int *fd, bool with_reset) {
    if (*fd >= 0) {
        struct linger now = {.l_onoff = 1};
        if (with_reset) {
            setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        }
        close(*fd);
        *fd = -1;
    }
}

static int connect_to_broker(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(fd, (struct sockaddr *)&proxy.broker, sizeof proxy.broker) != 0 &&
        errno != EINPROGRESS) {
        shut(&fd, false);
    }
    return fd;
}

static void drop(struct link **at, bool with_reset) {
    shut(&(*at)->client, with_reset);
    shut(&(*at)->broker, with_reset);
    free(*at);
    *at = NULL;
}

static void accept_client(void) {
    int fd = accept4(proxy.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), yes = 1;
    if (fd < 0) {
        return;
    }
    for (int i = 0; i < LINKS; i++) {
        if (!proxy.links[i]) {
            struct link *link = calloc(1, sizeof *link);
            if (!link) {
                die("out of memory");
            }
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
            link->client = fd;
            link->broker = connect_to_broker();
            flow_start(&link->up);
            flow_start(&link->down);
            proxy.links[i] = link;
            proxy.accepted++;
            return;
        }
    }
    close(fd);
}

static bool holds(const struct link *link) {
    return link && link->up.gate != UINT64_MAX;
}

/* Moves what may go, either way. */
static void move(struct link *link, int64_t now, int64_t *wake_ns) {
    size_t up = flow_ready(&link->up, &proxy.faults, now, wake_ns);
    if (up && link->broker >= 0 && !flow_drain(&link->up, link->broker, up, &proxy.faults, now)) {
        shut(&link->broker, false);
    }
    if (link->client < 0) {
        flow_discard(&link->down);
        return;
    }
    size_t down = flow_ready(&link->down, &proxy.faults, now, wake_ns);
    if (down && !flow_drain(&link->down, link->client, down, &proxy.faults, now)) {
        link->up.ended = true;
        shut(&link->client, false);
    }
}

/* Closes what has come to its end. True: the connection is over. */
static bool settle(struct link *link, int64_t now, int64_t *wake_ns) {
    if (link->up.ended) {
        shut(&link->client, false);
    }
    if (link->down.ended) {
        shut(&link->broker, false);
    }
    bool answered = !flow_is_under_way(&link->down) || link->down.gate != UINT64_MAX;
    if (link->broker < 0 && answered) {
        shut(&link->client, false); /* it has all the answers that it will get */
    }
    if (link->client >= 0 || holds(link)) {
        return false;
    }
    if (link->broker < 0) {
        return true;
    }
    if (flow_is_under_way(&link->up)) {
        return false;
    }
    if (!link->orphaned_ns) {
        link->orphaned_ns = now;
    }
    *wake_ns = link->orphaned_ns + ORPHAN_NS < *wake_ns ? link->orphaned_ns + ORPHAN_NS : *wake_ns;
    return now >= link->orphaned_ns + ORPHAN_NS;
}

static void serve(struct link **at, int64_t now, int64_t *wake_ns) {
    struct link *link = *at;
    if (proxy.faults.hole) {
        return;
    }
    move(link, now, wake_ns);
    if (settle(link, now, wake_ns)) {
        drop(at, false);
    }
}

/* ---- Commands ------------------------------------------------------------------------------ */

static int number_of(const char *word) {
    return (int)strtol(word, NULL, 10);
}

static void print_frame(const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        printf("%02x", bytes[i]);
    }
}

static void do_delay(char **words) {
    proxy.faults.delay_ns = (int64_t)number_of(words[1]) * 1000000;
    puts("ok");
}

static void do_trickle(char **words) {
    proxy.faults.rate = number_of(words[1]);
    puts("ok");
}

static void do_hole(char **words) {
    proxy.faults.hole = true;
    puts("ok");
}

static void do_refuse(char **words) {
    shut(&proxy.listener, false);
    puts("ok");
}

static void do_heal(char **words) {
    proxy.faults = (struct faults){0};
    if (proxy.listener < 0) {
        proxy.listener = listen_again();
    }
    puts("ok");
}

static void do_reset(char **words) {
    for (int i = 0; i < LINKS; i++) {
        if (proxy.links[i]) {
            drop(&proxy.links[i], true);
        }
    }
    puts("ok");
}

static void do_rule(char **words) {
    proxy.rule.armed = true;
    proxy.rule.lose = strcmp(words[0], "lose") == 0;
    proxy.rule.key = number_of(words[1]);
    proxy.rule.countdown = number_of(words[2]);
    snprintf(proxy.rule.client, sizeof proxy.rule.client, "%s", words[3]);
    puts("ok");
}

static void do_held(char **words) {
    int count = 0;
    for (int i = 0; i < LINKS; i++) {
        count += holds(proxy.links[i]);
    }
    printf("ok %d", count);
    for (int i = 0; i < LINKS; i++) {
        if (holds(proxy.links[i])) {
            printf(" %u ", flow_u16(proxy.links[i]->head + 4));
            print_frame(proxy.links[i]->head, proxy.links[i]->head_length);
        }
    }
    putchar('\n');
}

static bool let_go(struct link *link, bool anew) {
    if (anew) {
        shut(&link->broker, false);
        link->broker = connect_to_broker();
        flow_start(&link->down);
    }
    if (link->broker < 0) {
        return false;
    }
    link->watching = true;
    link->watched = flow_u32(link->head + 8);
    proxy.answer_length = 0;
    link->up.gate = UINT64_MAX;
    flow_inspect(&link->up, look_at_request, link);
    return true;
}

static void do_release(char **words) {
    int count = 0;
    for (int i = 0; i < LINKS; i++) {
        struct link *link = proxy.links[i];
        if (holds(link) && flow_u16(link->head + 4) == (uint32_t)number_of(words[1])) {
            count += let_go(link, strcmp(words[2], "new") == 0);
        }
    }
    if (count) {
        printf("ok %d\n", count);
    } else {
        puts("error: no such request is held, or the broker has closed its connection");
    }
}

static void do_answer(char **words) {
    fputs(proxy.answer_length ? "ok " : "ok -", stdout);
    print_frame(proxy.answer, proxy.answer_length);
    putchar('\n');
}

static void do_status(char **words) {
    int connections = 0;
    for (int i = 0; i < LINKS; i++) {
        connections += proxy.links[i] != NULL;
    }
    printf("ok connections=%d accepted=%llu armed=%d fired=%llu lost=%llu", connections,
           (unsigned long long)proxy.accepted, proxy.rule.armed, (unsigned long long)proxy.fired,
           (unsigned long long)proxy.lost);
    for (int key = 0; key < KEYS; key++) {
        if (proxy.requests[key]) {
            printf(" key%d=%llu", key, (unsigned long long)proxy.requests[key]);
        }
    }
    putchar('\n');
}

static const struct command COMMANDS[] = {
    {"delay", do_delay},
    {"trickle", do_trickle},
    {"hole", do_hole},
    {"refuse", do_refuse},
    {"heal", do_heal},
    {"reset", do_reset},
    {"hold", do_rule},
    {"lose", do_rule},
    {"held", do_held},
    {"release", do_release},
    {"answer", do_answer},
    {"status", do_status},
    {0},
};

static void read_commands(void) {
    ssize_t n = read(STDIN_FILENO, proxy.line + proxy.line_length, LINE - proxy.line_length);
    if (n <= 0) {
        exit(0);
    }
    proxy.line_length += (size_t)n;
    char *end;
    while ((end = memchr(proxy.line, '\n', proxy.line_length))) {
        *end = 0;
        obey(COMMANDS, proxy.line);
        proxy.line_length -= (size_t)(end + 1 - proxy.line);
        memmove(proxy.line, end + 1, proxy.line_length);
    }
    fflush(stdout);
    if (proxy.line_length == LINE) {
        proxy.line_length = 0; /* no command is that long */
    }
}

/* ---- The loop ------------------------------------------------------------------------------ */

/* A closed or idle side is -1, which poll leaves out: else it would report a hang-up for ever. */
static struct pollfd interest(int fd, const struct flow *from, struct flow *to, int64_t *wake_ns) {
    struct pollfd wanted = {.fd = fd};
    if (!proxy.faults.hole) {
        wanted.events |= flow_room(from) ? POLLIN : 0;
        wanted.events |= flow_ready(to, &proxy.faults, now_ns(), wake_ns) ? POLLOUT : 0;
    }
    wanted.fd = wanted.events ? fd : -1;
    return wanted;
}

static void receive(struct link *link, const struct pollfd *sides) {
    if (sides[0].revents & (POLLIN | POLLHUP | POLLERR)) {
        flow_fill(&link->up, link->client, &proxy.faults, look_at_request, link);
    }
    if (sides[1].revents & (POLLIN | POLLHUP | POLLERR)) {
        flow_fill(&link->down, link->broker, &proxy.faults, look_at_response, link);
    }
}

static void step(int64_t *wake_ns) {
    static struct pollfd fds[2 + 2 * LINKS];
    fds[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = proxy.listener, .events = POLLIN};
    for (int i = 0; i < LINKS; i++) {
        struct link *link = proxy.links[i];
        struct pollfd none = {.fd = -1}, *sides = fds + 2 + 2 * i;
        sides[0] = link ? interest(link->client, &link->up, &link->down, wake_ns) : none;
        sides[1] = link ? interest(link->broker, &link->down, &link->up, wake_ns) : none;
    }
    int64_t wait_ns = *wake_ns - now_ns();
    int wait_ms = wait_ns <= 0 ? 0 : wait_ns > FOREVER_NS ? -1 : (int)(wait_ns / 1000000) + 1;
    if (poll(fds, 2 + 2 * LINKS, wait_ms) < 0 && errno != EINTR) {
        die("poll");
    }
    *wake_ns = INT64_MAX;
    for (int i = 0; i < LINKS; i++) {
        if (proxy.links[i]) {
            receive(proxy.links[i], fds + 2 + 2 * i);
            serve(&proxy.links[i], now_ns(), wake_ns);
        }
    }
    if (fds[1].revents & POLLIN) {
        accept_client();
    }
    if (fds[0].revents) {
        read_commands();
        *wake_ns = 0; /* something may go now */
    }
}

static struct sockaddr_in address(const char *host, const char *port) {
    struct sockaddr_in at = {.sin_family = AF_INET};
    at.sin_port = htons((uint16_t)number_of(port));
    if (inet_pton(AF_INET, host, &at.sin_addr) != 1) {
        die("a host is an IPv4 address");
    }
    return at;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fputs("Usage: proxy LISTEN_PORT BROKER_HOST BROKER_PORT\n", stderr);
        return 2;
    }
    proxy.listen = address("127.0.0.1", argv[1]);
    proxy.broker = address(argv[2], argv[3]);
    proxy.listener = listen_again();
    puts("ok listening");
    fflush(stdout);
    int64_t wake_ns = INT64_MAX;
    for (;;) {
        step(&wake_ns);
    }
}
