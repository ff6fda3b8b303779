/* bench_wire: nanoseconds per record, to encode and to decode, of the lists that large blocks
   consist of. Prints one line of JSON. Values are as in real blocks: a transfer of 110 octets,
   random addresses, amounts of 8 octets. */
#include <stdio.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/client/ops.h"
#include "common/wire/wire.h"

enum { RECORDS = 4000, ROUNDS = 400 };

static coh_rng_t rng;
static coh_rec_block_tx_t block_txs[RECORDS];
static coh_rec_write_t writes[RECORDS];
static coh_op_receipt_t receipts[RECORDS];
static uint8_t raw[110];

static void fill_random(void *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ((uint8_t *)p)[i] = (uint8_t)coh_rng_next(&rng);
    }
}

static void fill(void)
{
    fill_random(raw, sizeof(raw));
    for (uint32_t i = 0; i < RECORDS; i++) {
        coh_rec_block_tx_t *t = &block_txs[i];
        t->tx_idx             = i;
        t->raw                = coh_bytes(raw, sizeof(raw));
        fill_random(&t->sender, sizeof(t->sender));
        coh_rec_write_t *w = &writes[i];
        w->tx_idx          = i;
        w->flags           = 2;
        w->kind            = 0;
        w->word            = coh_u256(coh_rng_next(&rng));
        fill_random(&w->addr, sizeof(w->addr));
        coh_op_receipt_t *r = &receipts[i];
        r->block            = 1000000;
        r->tx_idx           = i;
        r->type             = 2;
        r->status           = 1;
        r->gas_used         = 21000;
        r->cumulative_gas   = 21000 * (i + UINT64_C(1));
        r->effective_price  = coh_u256(UINT64_C(1000000000));
        fill_random(&r->tx_hash, sizeof(r->tx_hash));
        fill_random(&r->from, sizeof(r->from));
        fill_random(&r->to, sizeof(r->to));
    }
}

static double ns_per_record(uint64_t ns) { return (double)ns / ((double)RECORDS * ROUNDS); }

static void report(char const *name,
                   uint64_t encode_ns,
                   uint64_t decode_ns,
                   size_t bytes,
                   char const *end)
{
    printf("\"%s\":{\"encode_ns\":%.1f,\"decode_ns\":%.1f,\"bytes\":%.1f}%s",
           name,
           ns_per_record(encode_ns),
           ns_per_record(decode_ns),
           (double)bytes / RECORDS,
           end);
}

static void bench_frame(char const *name, void (*put)(coh_buf_t *out))
{
    coh_buf_t out        = COH_BUF_INIT;
    coh_wire_reader_t *r = coh_wire_reader_new();
    coh_envelope_t env   = {.sender = 1};
    coh_msg_t msg;
    uint64_t at_start = coh_clock_thread_cpu_ns();
    for (int i = 0; i < ROUNDS; i++) {
        coh_buf_clear(&out);
        coh_wire_put_envelope(&out, &env);
        put(&out);
    }
    uint64_t at_encoded = coh_clock_thread_cpu_ns();
    for (int i = 0; i < ROUNDS; i++) {
        COH_ASSERT(coh_wire_reader_begin(r, coh_buf_bytes(&out), &env) == COH_OK);
        COH_ASSERT(coh_wire_reader_next(r, &msg) == COH_OK);
    }
    uint64_t at_decoded = coh_clock_thread_cpu_ns();
    report(name, at_encoded - at_start, at_decoded - at_encoded, out.n, ",");
    coh_wire_reader_free(r);
    coh_buf_free(&out);
}

static void put_block(coh_buf_t *out)
{
    coh_wire_put_block(out, &(coh_msg_block_t){.number = 1, .txs = {block_txs, RECORDS}});
}

static void put_publish(coh_buf_t *out)
{
    coh_wire_put_publish(out, &(coh_msg_publish_t){.block = 1, .writes = {writes, RECORDS}});
}

static void bench_receipts(void)
{
    coh_buf_t out      = COH_BUF_INIT;
    coh_op_reader_t *r = coh_op_reader_new();
    coh_pub_t pub;
    uint64_t at_start = coh_clock_thread_cpu_ns();
    for (int i = 0; i < ROUNDS; i++) {
        coh_buf_clear(&out);
        coh_pub_put_receipts(&out,
                             &(coh_pub_receipts_t){.number = 1, .receipts = {receipts, RECORDS}});
    }
    uint64_t at_encoded = coh_clock_thread_cpu_ns();
    for (int i = 0; i < ROUNDS; i++) {
        COH_ASSERT(coh_op_read_publication(r, &pub, coh_buf_bytes(&out)) == COH_OK);
    }
    uint64_t at_decoded = coh_clock_thread_cpu_ns();
    report("receipt", at_encoded - at_start, at_decoded - at_encoded, out.n, "}\n");
    coh_op_reader_free(r);
    coh_buf_free(&out);
}

int main(void)
{
    coh_rng_seed(&rng, 1);
    fill();
    printf("{\"bench\":\"wire\",\"records\":%d,", RECORDS);
    bench_frame("block_tx", put_block);
    bench_frame("write", put_publish);
    bench_receipts();
    return 0;
}
