#include "common/net/bell.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

/* Rings taken off by one coh_bell_quiet: a stranger's flood must not hold the loop. */
#define QUIET_CNT_MAX 64

typedef struct {
    struct sockaddr_un addr;
    socklen_t addr_n; /* 0: not met */
} peer_t;

struct coh_bell {
    int fd;
    uint32_t rank_cnt;
    uint8_t name[COH_BELL_NAME_SZ];
    peer_t peers[];
};

coh_bell_t *coh_bell_new(uint32_t rank_cnt)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return NULL;
    }
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    socklen_t addr_n        = sizeof(addr);
    /* Bound without a name, it gets a free one: a zero and five hexadecimal digits. */
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr.sun_family)) != 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &addr_n) != 0 ||
        addr_n - sizeof(addr.sun_family) >= COH_BELL_NAME_SZ) {
        (void)close(fd);
        return NULL;
    }
    coh_bell_t *bell = coh_calloc(1, sizeof(*bell) + rank_cnt * sizeof(bell->peers[0]));
    bell->fd         = fd;
    bell->rank_cnt   = rank_cnt;
    size_t n         = addr_n - sizeof(addr.sun_family);
    memcpy(bell->name, addr.sun_path, n);
    bell->name[COH_BELL_NAME_SZ - 1] = (uint8_t)n;
    return bell;
}

void coh_bell_free(coh_bell_t *bell)
{
    if (bell != NULL) {
        (void)close(bell->fd);
        free(bell);
    }
}

void coh_bell_name(coh_bell_t const *bell, uint8_t name[COH_BELL_NAME_SZ])
{
    memcpy(name, bell->name, COH_BELL_NAME_SZ);
}

static bool ring(coh_bell_t const *bell, peer_t const *peer)
{
    ssize_t n =
        sendto(bell->fd, "", 0, MSG_NOSIGNAL, (struct sockaddr const *)&peer->addr, peer->addr_n);
    return n == 0 || errno == EAGAIN; /* its queue is full: it is ringing */
}

bool coh_bell_meet(coh_bell_t *bell, uint32_t rank, uint8_t const name[COH_BELL_NAME_SZ])
{
    COH_ASSERT(rank < bell->rank_cnt);
    peer_t *peer = &bell->peers[rank];
    size_t n     = COH_MIN(name[COH_BELL_NAME_SZ - 1], COH_BELL_NAME_SZ - 1);
    *peer        = (peer_t){.addr = {.sun_family = AF_UNIX}};
    memcpy(peer->addr.sun_path, name, n);
    peer->addr_n = (socklen_t)(sizeof(peer->addr.sun_family) + n);
    return ring(bell, peer);
}

void coh_bell_ring(coh_bell_t *bell, uint32_t rank)
{
    COH_ASSERT(rank < bell->rank_cnt && bell->peers[rank].addr_n != 0);
    (void)ring(bell, &bell->peers[rank]); /* a rank that has ended hears nothing any more */
}

int coh_bell_fd(coh_bell_t const *bell) { return bell->fd; }

void coh_bell_quiet(coh_bell_t *bell)
{
    struct mmsghdr rings[QUIET_CNT_MAX] = {0};
    (void)recvmmsg(bell->fd, rings, QUIET_CNT_MAX, MSG_DONTWAIT, NULL);
}
