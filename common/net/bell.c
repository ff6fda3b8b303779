#include "common/net/bell.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

/* Rings taken off by one coh_bell_quiet: a stranger's flood must not hold the loop. */
#define QUIET_CNT_MAX 64

struct coh_bell {
    int fd;
    uint32_t rank_cnt;
    uint8_t name[COH_BELL_NAME_SZ];
    int peers[]; /* by rank, connected to its bell; -1: not met */
};

/* The address of a name: its octets, the first of which is zero. */
static socklen_t address(struct sockaddr_un *out, uint8_t const name[COH_BELL_NAME_SZ])
{
    size_t n = COH_MIN(name[COH_BELL_NAME_SZ - 1], COH_BELL_NAME_SZ - 1);
    *out     = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(out->sun_path, name, n);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

coh_bell_t *coh_bell_new(uint32_t rank_cnt)
{
    uint8_t name[COH_BELL_NAME_SZ] = {[COH_BELL_NAME_SZ - 1] = COH_BELL_NAME_SZ - 1};
    size_t const random_n          = COH_BELL_NAME_SZ - 2;
    if (getrandom(name + 1, random_n, 0) != (ssize_t)random_n) {
        return NULL;
    }
    int fd = new_socket();
    if (fd < 0) {
        return NULL;
    }
    struct sockaddr_un addr;
    socklen_t addr_n = address(&addr, name);
    if (bind(fd, (struct sockaddr *)&addr, addr_n) != 0) {
        (void)close(fd);
        return NULL;
    }
    coh_bell_t *bell = coh_calloc(1, sizeof(*bell) + rank_cnt * sizeof(bell->peers[0]));
    bell->fd         = fd;
    bell->rank_cnt   = rank_cnt;
    memcpy(bell->name, name, sizeof(name));
    for (uint32_t i = 0; i < rank_cnt; i++) {
        bell->peers[i] = -1;
    }
    return bell;
}

void coh_bell_free(coh_bell_t *bell)
{
    if (bell != NULL) {
        for (uint32_t i = 0; i < bell->rank_cnt; i++) {
            if (bell->peers[i] >= 0) {
                (void)close(bell->peers[i]);
            }
        }
        (void)close(bell->fd);
        free(bell);
    }
}

void coh_bell_name(coh_bell_t const *bell, uint8_t name[COH_BELL_NAME_SZ])
{
    memcpy(name, bell->name, COH_BELL_NAME_SZ);
}

static bool ring(int peer)
{
    /* Its queue is full, or this socket's room is, which nothing but rings to it takes: either way it is ringing. */
    return send(peer, "", 0, MSG_NOSIGNAL) == 0 || errno == EAGAIN;
}

bool coh_bell_meet(coh_bell_t *bell, uint32_t rank, uint8_t const name[COH_BELL_NAME_SZ])
{
    COH_ASSERT(rank < bell->rank_cnt);
    struct sockaddr_un addr;
    socklen_t addr_n = address(&addr, name);
    if (bell->peers[rank] >= 0) {
        (void)close(bell->peers[rank]);
    }
    bell->peers[rank] = new_socket();
    return bell->peers[rank] >= 0 &&
           connect(bell->peers[rank], (struct sockaddr *)&addr, addr_n) == 0 &&
           ring(bell->peers[rank]);
}

void coh_bell_ring(coh_bell_t *bell, uint32_t rank)
{
    COH_ASSERT(rank < bell->rank_cnt && bell->peers[rank] >= 0);
    (void)ring(bell->peers[rank]); /* a rank that has ended hears nothing any more */
}

int coh_bell_fd(coh_bell_t const *bell) { return bell->fd; }

void coh_bell_quiet(coh_bell_t *bell)
{
    struct mmsghdr rings[QUIET_CNT_MAX] = {0};
    (void)recvmmsg(bell->fd, rings, QUIET_CNT_MAX, MSG_DONTWAIT, NULL);
}
