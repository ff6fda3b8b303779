#include "common/chain/requests.h"

#include "common/base/assert.h"
#include "common/codec/receipt.h"
#include "common/codec/rlp.h"

/* EIP-6110: keccak256("DepositEvent(bytes,bytes,bytes,bytes,bytes)") */
static coh_hash_t const deposit_event = {{0x64, 0x9b, 0xbc, 0x62, 0xd0, 0xe3, 0x13, 0x42,
                                          0xaf, 0xea, 0x4e, 0x5c, 0xd8, 0x2d, 0x40, 0x49,
                                          0xe7, 0xe1, 0xee, 0x91, 0x2f, 0xc0, 0x88, 0x9a,
                                          0xa7, 0x90, 0x80, 0x3b, 0xe3, 0x90, 0x38, 0xc5}};

/* The event's members: octets, and where its ABI encoding puts their length. */
static struct {
    uint32_t size;
    uint32_t offset;
} const members[] = {
    {48, 160}, /* public key */
    {32, 256}, /* withdrawal credentials */
    {8, 320},  /* amount */
    {96, 384}, /* signature */
    {8, 512},  /* index */
};
enum { DEPOSIT_EVENT_SZ = 576 };

void coh_requests_init(coh_requests_t *r)
{
    *r = (coh_requests_t){.lists = {COH_BUF_INIT}};
    coh_requests_clear(r);
}

void coh_requests_fini(coh_requests_t *r)
{
    for (uint32_t type = 0; type < COH_REQUEST_TYPE_CNT; type++) {
        coh_buf_free(&r->lists[type]);
    }
}

void coh_requests_clear(coh_requests_t *r)
{
    for (uint32_t type = 0; type < COH_REQUEST_TYPE_CNT; type++) {
        coh_buf_clear(&r->lists[type]);
        coh_buf_put_u8(&r->lists[type], (uint8_t)type);
    }
}

void coh_requests_add(coh_requests_t *r, uint32_t type, coh_bytes_t data)
{
    COH_ASSERT(type < COH_REQUEST_TYPE_CNT);
    coh_buf_put(&r->lists[type], data.p, data.n);
}

/* A word of the event is this number. */
static bool word_is(coh_bytes_t data, size_t at, uint64_t want)
{
    coh_u256_t word   = coh_u256_load_be(data.p + at);
    coh_u256_t number = coh_u256(want);
    return coh_u256_eq(&word, &number);
}

static bool add_deposit(coh_requests_t *r, coh_bytes_t data)
{
    if (data.n != DEPOSIT_EVENT_SZ) {
        return false;
    }
    for (size_t i = 0; i < COH_CNT(members); i++) {
        if (!word_is(data, i * 32, members[i].offset) ||
            !word_is(data, members[i].offset, members[i].size)) {
            return false;
        }
    }
    for (size_t i = 0; i < COH_CNT(members); i++) {
        coh_requests_add(r, 0, coh_bytes(data.p + members[i].offset + 32, members[i].size));
    }
    return true;
}

/* The next log's data, if it is the event of contract; *is_event says so. False at the end. */
static bool next_event(coh_rlp_t *logs,
                       coh_addr_t const *contract,
                       bool *is_event,
                       coh_bytes_t *data)
{
    coh_rlp_t log;
    coh_rlp_t topics;
    coh_addr_t addr;
    coh_hash_t topic;
    if (coh_rlp_at_end(logs)) {
        return false;
    }
    bool ok = coh_rlp_list(logs, &log) == COH_OK &&
              coh_rlp_fixed(&log, addr.b, sizeof(addr.b)) == COH_OK &&
              coh_rlp_list(&log, &topics) == COH_OK && coh_rlp_string(&log, data) == COH_OK;
    COH_ASSERT(ok); /* coh_logs_check */
    *is_event = coh_addr_eq(&addr, contract) && !coh_rlp_at_end(&topics) &&
                coh_rlp_fixed(&topics, topic.b, sizeof(topic.b)) == COH_OK &&
                coh_hash_eq(&topic, &deposit_event);
    return true;
}

bool coh_requests_add_deposits(coh_requests_t *r, coh_bytes_t logs, coh_addr_t const *contract)
{
    coh_rlp_t outer = coh_rlp_reader(logs);
    coh_rlp_t list  = {0};
    coh_bytes_t data;
    bool is_event;
    if (logs.n != 0) {
        coh_err_t err = coh_rlp_list(&outer, &list);
        COH_ASSERT(err == COH_OK);
    }
    while (next_event(&list, contract, &is_event, &data)) {
        if (is_event && !add_deposit(r, data)) {
            return false;
        }
    }
    return true;
}

void coh_requests_hash_all(coh_hash_t *out, coh_requests_t const *r)
{
    coh_bytes_t lists[COH_REQUEST_TYPE_CNT];
    for (uint32_t type = 0; type < COH_REQUEST_TYPE_CNT; type++) {
        lists[type] = coh_buf_bytes(&r->lists[type]);
    }
    coh_requests_hash(out, lists, COH_REQUEST_TYPE_CNT);
}
