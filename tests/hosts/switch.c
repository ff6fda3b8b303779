/* switch: the network between test hosts. Each host is a network namespace; its eth0 is a tap device whose other end is a port of
   this program, which forwards Ethernet frames between ports: late, not at all, or never again, as it is told. So faults need
   nothing of the kernel but /dev/net/tun (netem is often missing), and all of it is gone when the process is.

   Commands come as lines on standard input, each is answered by "ok" or "error: ..." on standard output:

     attach PORT PID       makes eth0 in the network namespace of process PID the host at PORT (1..PORT_MAX); any device that was there is let go
     detach PORT
     set PORT DELAY_US JITTER_US LOSS_PPM    of every frame that comes from the host at PORT, from now on
     cut PORT / heal PORT  neither to nor from PORT a frame passes; no end sees a carrier change

   Frames of one port keep their order: jitter delays those behind. MAC addresses are 02:00:00:00:00:PORT, so that nothing has to be learnt.
   Ends at the end of standard input. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/base.h"
#include "common/base/clock.h"
#include "common/base/rng.h"

#define PORT_MAX  16u
#define FRAME_MAX 9216u
#define MTU       9000
/* Frames under way from one port; beyond it they are lost, as in any switch. */
#define QUEUE_MAX 8192u
#define BURST     64

typedef struct frame {
    struct frame *next;
    uint64_t due_us;
    size_t n;
    uint8_t bytes[];
} frame_t;

typedef struct {
    int fd; /* -1: nobody is attached */
    bool cut;
    uint64_t delay_us;
    uint64_t jitter_us;
    uint32_t loss_ppm;
    frame_t *first;
    frame_t **last;
    uint32_t queued;
    uint64_t last_due_us;
} port_t;

static port_t ports[PORT_MAX + 1]; /* [0] is not used */
static coh_rng_t rng;

static void detach(port_t *p)
{
    if (p->fd >= 0) {
        (void)close(p->fd);
        p->fd = -1;
    }
}

/* Makes the tap in the namespace of this thread. Returns its descriptor, or -1 with errno. */
static int make_tap(uint32_t port)
{
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    struct ifreq req = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    (void)snprintf(req.ifr_name, sizeof(req.ifr_name), "eth0");
    int sock = -1;
    if (ioctl(fd, TUNSETIFF, &req) == 0 &&
        (sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) >= 0) {
        req.ifr_mtu = MTU;
        int rc      = ioctl(sock, SIOCSIFMTU, &req);
        req.ifr_hwaddr =
            (struct sockaddr){.sa_family = ARPHRD_ETHER, .sa_data = {2, 0, 0, 0, 0, (char)port}};
        rc |= ioctl(sock, SIOCSIFHWADDR, &req);
        (void)close(sock);
        if (rc == 0) {
            return fd;
        }
    }
    (void)close(fd);
    return -1;
}

/* Returns what failed, or NULL. */
static char const *attach(uint32_t port, int pid)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
    int home  = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int there = open(path, O_RDONLY | O_CLOEXEC);
    int fd    = -1;
    if (home >= 0 && there >= 0 && setns(there, CLONE_NEWNET) == 0) {
        fd = make_tap(port);
        if (setns(home, CLONE_NEWNET) != 0) {
            abort(); /* in a namespace that is not ours */
        }
    }
    int saved = errno;
    (void)close(home);
    (void)close(there);
    if (fd < 0) {
        return strerror(saved);
    }
    detach(&ports[port]);
    ports[port].fd = fd;
    return NULL;
}

static char const *obey(char const *line)
{
    char verb[16];
    unsigned port = 0;
    unsigned v[3] = {0};
    int cnt       = sscanf(line, "%15s %u %u %u %u", verb, &port, &v[0], &v[1], &v[2]);
    if (cnt < 2 || port == 0 || port > PORT_MAX) {
        return "expected a command and a port";
    }
    port_t *p = &ports[port];
    if (strcmp(verb, "attach") == 0 && cnt == 3) {
        return attach(port, (int)v[0]);
    }
    if (strcmp(verb, "set") == 0 && cnt == 5 && v[2] <= 1000000) {
        p->delay_us  = v[0];
        p->jitter_us = v[1];
        p->loss_ppm  = v[2];
    } else if (strcmp(verb, "detach") == 0 && cnt == 2) {
        detach(p);
    } else if ((strcmp(verb, "cut") == 0 || strcmp(verb, "heal") == 0) && cnt == 2) {
        p->cut = verb[0] == 'c';
    } else {
        return "no such command";
    }
    return NULL;
}

/* Reads what there is; false at the end of the input. */
static bool read_commands(void)
{
    static char buf[4096];
    static size_t have;
    ssize_t n = read(STDIN_FILENO, buf + have, sizeof(buf) - 1 - have);
    if (n <= 0) {
        return n < 0 && errno == EINTR;
    }
    have += (size_t)n;
    char *line = buf;
    char *end;
    while ((end = memchr(line, '\n', have - (size_t)(line - buf))) != NULL) {
        *end             = '\0';
        char const *what = obey(line);
        if (what == NULL) {
            (void)puts("ok");
        } else {
            (void)printf("error: %s: %s\n", line, what);
        }
        (void)fflush(stdout);
        line = end + 1;
    }
    have -= (size_t)(line - buf);
    memmove(buf, line, have);
    return have < sizeof(buf) - 1;
}

static void take_frames(port_t *p)
{
    uint8_t bytes[FRAME_MAX];
    for (int i = 0; i < BURST; i++) {
        ssize_t n = read(p->fd, bytes, sizeof(bytes));
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            detach(p); /* the namespace is gone */
        }
        if (n <= 0) {
            return;
        }
        if (n < 14 || p->cut || p->queued >= QUEUE_MAX ||
            coh_rng_below(&rng, 1000000) < p->loss_ppm) {
            continue;
        }
        uint64_t due_us = coh_clock_mono_us() + p->delay_us - p->jitter_us +
                          coh_rng_below(&rng, 2 * p->jitter_us + 1);
        p->last_due_us = COH_MAX(due_us, p->last_due_us);
        frame_t *f     = coh_calloc(1, sizeof(*f) + (size_t)n);
        f->due_us      = p->last_due_us;
        f->n           = (size_t)n;
        memcpy(f->bytes, bytes, f->n);
        *p->last = f;
        p->last  = &f->next;
        p->queued++;
    }
}

static void forward(frame_t const *f, port_t const *from)
{
    bool to_all = (f->bytes[0] & 1) != 0;
    for (uint32_t i = 1; i <= PORT_MAX; i++) {
        port_t *to = &ports[i];
        if (to != from && to->fd >= 0 && !to->cut && !from->cut && (to_all || f->bytes[5] == i)) {
            ssize_t n = write(to->fd, f->bytes, f->n);
            (void)n; /* a full or dying receiver loses it */
        }
    }
}

/* Forwards what is due; returns when the next frame is, UINT64_MAX without one. */
static uint64_t pass_frames(void)
{
    uint64_t next_us = UINT64_MAX;
    uint64_t now_us  = coh_clock_mono_us();
    for (uint32_t i = 1; i <= PORT_MAX; i++) {
        port_t *p = &ports[i];
        while (p->first != NULL && p->first->due_us <= now_us) {
            frame_t *f = p->first;
            p->first   = f->next;
            p->last    = p->first == NULL ? &p->first : p->last;
            p->queued--;
            forward(f, p);
            free(f);
        }
        if (p->first != NULL) {
            next_us = COH_MIN(next_us, p->first->due_us);
        }
    }
    return next_us;
}

int main(void)
{
    coh_rng_seed(&rng, coh_clock_unix_us());
    for (uint32_t i = 0; i <= PORT_MAX; i++) {
        ports[i] = (port_t){.fd = -1, .last = &ports[i].first};
    }
    bool open = true;
    while (open) {
        struct pollfd fds[PORT_MAX + 1] = {{.fd = STDIN_FILENO, .events = POLLIN}};
        for (uint32_t i = 1; i <= PORT_MAX; i++) {
            fds[i] = (struct pollfd){.fd = ports[i].fd, .events = POLLIN};
        }
        uint64_t next_us = pass_frames();
        uint64_t now_us  = coh_clock_mono_us();
        uint64_t wait_us = next_us == UINT64_MAX ? 1000000 : next_us - COH_MIN(next_us, now_us);
        struct timespec timeout = {.tv_sec  = (time_t)(wait_us / 1000000),
                                   .tv_nsec = (long)(wait_us % 1000000 * 1000)};
        if (ppoll(fds, PORT_MAX + 1, &timeout, NULL) < 0 && errno != EINTR) {
            return 1;
        }
        if (fds[0].revents != 0) {
            open = read_commands();
        }
        for (uint32_t i = 1; i <= PORT_MAX; i++) {
            if (fds[i].revents != 0 && ports[i].fd == fds[i].fd) {
                take_frames(&ports[i]);
            }
        }
    }
    return 0;
}
