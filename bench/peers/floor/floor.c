// floor: what fanning messages out to WebSocket subscribers costs at the very least, on one processor. It knows nothing of channels, rights or readers that are slow.
//
// GET /ws subscribes, GET /pub publishes: what a publisher sends is framed once and sent to every subscriber.
//   write     a system call for each message and subscriber
//   join      what has come in before it is sent goes out in one system call a subscriber
//   uring     join, and one system call for many subscribers (io_uring)
//
// cc -O2 -o floor floor.c            or with io_uring: cc -O2 -DWITH_URING -o floor floor.c -luring
// It prints {"port":N} when it listens.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef WITH_URING
#include <liburing.h>
static struct io_uring ring;
#endif

enum { READ = 1 << 17, PENDING = 1 << 20, BATCH = 128, PUBLISHED_MOST = 65536 };
enum mode { WRITE, JOIN, URING };

// conn is found by its descriptor. rest is what a publisher's last read left of a frame.
struct conn {
    char *rest;
    uint32_t rest_len;
    uint32_t place; // among the subscribers, from 1; 0: none
    uint8_t upgraded;
};

static struct conn *conns;
static int *subscribers, subscribed, epoll;
static enum mode mode;
static char in[READ + PUBLISHED_MOST], out[PENDING];
static size_t out_len;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

// send_all waits for a reader that has no room: nothing is lost, and a floor need not be just to others.
static void send_all(int fd, const char *p, size_t n) {
    while (n > 0) {
        ssize_t r = send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (r >= 0) {
            p += r;
            n -= r;
        } else if (errno == EAGAIN) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            poll(&wait, 1, 1000);
        } else if (errno != EINTR) {
            return; // it has gone; the loop will hear of it
        }
    }
}

#ifdef WITH_URING
static void send_by_ring(void) {
    for (int i = 0; i < subscribed;) {
        int n = 0;
        for (; n < BATCH && i < subscribed; n++, i++) {
            struct io_uring_sqe *s = io_uring_get_sqe(&ring);
            io_uring_prep_send(s, subscribers[i], out, out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
            s->user_data = i;
        }
        io_uring_submit_and_wait(&ring, n);
        struct io_uring_cqe *c;
        unsigned head, seen = 0;
        io_uring_for_each_cqe(&ring, head, c) {
            size_t sent = c->res > 0 ? c->res : 0;
            if (sent < out_len && (c->res >= 0 || c->res == -EAGAIN)) send_all(subscribers[c->user_data], out + sent, out_len - sent);
            seen++;
        }
        io_uring_cq_advance(&ring, seen);
    }
}
#endif

static void flush(void) {
    if (out_len == 0) return;
#ifdef WITH_URING
    if (mode == URING) send_by_ring();
#endif
    if (mode != URING)
        for (int i = 0; i < subscribed; i++) send_all(subscribers[i], out, out_len);
    out_len = 0;
}

// publish frames a payload (RFC 6455, section 5.2).
static void publish(const char *payload, size_t n) {
    if (out_len + n + 4 > PENDING) flush();
    char *o = out + out_len;
    *o++ = (char)0x81;
    if (n < 126) {
        *o++ = (char)n;
    } else {
        *o++ = 126;
        *o++ = (char)(n >> 8);
        *o++ = (char)n;
    }
    memcpy(o, payload, n);
    out_len = o + n - out;
    if (mode == WRITE) flush();
}

static void drop(int fd) {
    struct conn *c = &conns[fd];
    if (c->place) {
        int last = subscribers[--subscribed];
        subscribers[c->place - 1] = last;
        conns[last].place = c->place;
    }
    free(c->rest);
    memset(c, 0, sizeof *c);
    close(fd);
}

// upgrade answers the handshake and returns how long the request was; 0: it is not whole yet. The answer belongs to the key that the load client always sends.
static size_t upgrade(int fd, const char *p, size_t n) {
    static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    const char *end = memmem(p, n, "\r\n\r\n", 4);
    if (!end) return 0;
    conns[fd].upgraded = 1;
    send_all(fd, answer, sizeof answer - 1);
    if (n >= 7 && memcmp(p, "GET /ws", 7) == 0) {
        subscribers[subscribed++] = fd;
        conns[fd].place = subscribed;
    }
    return end + 4 - p;
}

// frames takes the whole frames of a client and returns how many bytes they were.
static size_t frames(char *p, size_t n) {
    size_t used = 0;
    while (n - used >= 6) {
        char *f = p + used;
        size_t head = 2, len = f[1] & 127;
        if (len == 126) {
            len = (unsigned char)f[2] << 8 | (unsigned char)f[3];
            head = 4;
        }
        if (n - used < head + 4 + len) break;
        char *key = f + head, *payload = key + 4;
        for (size_t i = 0; i < len; i++) payload[i] ^= key[i & 3];
        if ((f[0] & 15) <= 2) publish(payload, len);
        used += head + 4 + len;
    }
    return used;
}

static void readable(int fd) {
    struct conn *c = &conns[fd];
    size_t n = c->rest_len;
    if (n) memcpy(in, c->rest, n);
    ssize_t r = read(fd, in + n, READ);
    if (r < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (r <= 0) {
        drop(fd);
        return;
    }
    n += r;
    size_t used = c->upgraded ? 0 : upgrade(fd, in, n);
    if (c->upgraded) used += frames(in + used, n - used);
    if (n - used > PUBLISHED_MOST) {
        drop(fd);
        return;
    }
    c->rest_len = n - used;
    free(c->rest);
    c->rest = NULL;
    if (c->rest_len) {
        c->rest = malloc(c->rest_len);
        if (!c->rest) fail("malloc");
        memcpy(c->rest, in + used, c->rest_len);
    }
    flush();
}

static int listener(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) || bind(fd, (void *)&a, sizeof a) || listen(fd, 4096) || getsockname(fd, (void *)&a, &len)) fail("listen");
    printf("{\"port\":%d}\n", ntohs(a.sin_port));
    fflush(stdout);
    return fd;
}

static void watch(int fd) {
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e)) fail("epoll_ctl");
}

static void accept_all(int listening) {
    int fd;
    while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0) watch(fd); // TCP_NODELAY is inherited
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "write";
    mode = !strcmp(name, "join") ? JOIN : !strcmp(name, "uring") ? URING : WRITE;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files)) fail("getrlimit");
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files)) fail("setrlimit");
    conns = calloc(files.rlim_cur, sizeof *conns);
    subscribers = calloc(files.rlim_cur, sizeof *subscribers);
    if (!conns || !subscribers) fail("calloc");
    if (mode == URING) {
#ifdef WITH_URING
        struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
        int r = io_uring_queue_init_params(2 * BATCH, &ring, &p);
        if (r < 0) {
            fprintf(stderr, "io_uring: %s\n", strerror(-r));
            return 2;
        }
#else
        fprintf(stderr, "io_uring: not compiled in\n");
        return 2;
#endif
    }
    int listening = listener();
    epoll = epoll_create1(0);
    watch(listening);
    static struct epoll_event events[512];
    for (;;) {
        int n = epoll_wait(epoll, events, 512, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listening)
                accept_all(listening);
            else
                readable(events[i].data.fd);
        }
    }
}
