/* Rate of Keccak-256 by backend and input length, beside OpenSSL's SHA3-256, which is the same sponge with other padding: one line of JSON.
   usage: bench_keccak [INPUTS_PER_BATCH [MILLISECONDS_PER_FIGURE]] */
#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/crypto/keccak.h"

typedef struct {
    coh_hash_t *out;
    coh_bytes_t *in;
    size_t cnt;
} batch_t;

static void single(batch_t const *batch)
{
    for (size_t i = 0; i < batch->cnt; i++) {
        coh_keccak256(&batch->out[i], batch->in[i].p, batch->in[i].n);
    }
}

static void many(batch_t const *batch) { coh_keccak256_many(batch->out, batch->in, batch->cnt); }

static EVP_MD *sha3;
static EVP_MD_CTX *sha3_ctx;

static void openssl(batch_t const *batch)
{
    for (size_t i = 0; i < batch->cnt; i++) {
        int ok = EVP_DigestInit_ex2(sha3_ctx, sha3, NULL) == 1 &&
                 EVP_DigestUpdate(sha3_ctx, batch->in[i].p, batch->in[i].n) == 1 &&
                 EVP_DigestFinal_ex(sha3_ctx, batch->out[i].b, NULL) == 1;
        COH_ASSERT(ok);
    }
}

/* Nanoseconds of CPU per input. */
static double measure(batch_t const *batch, void (*hash)(batch_t const *), uint64_t ms)
{
    hash(batch);
    uint64_t start = coh_clock_thread_cpu_ns();
    uint64_t ns;
    uint64_t turns = 0;
    do {
        hash(batch);
        turns++;
        ns = coh_clock_thread_cpu_ns() - start;
    } while (ns < ms * 1000000);
    return (double)ns / (double)(turns * batch->cnt);
}

int main(int argc, char **argv)
{
    size_t cnt                          = argc > 1 ? strtoul(argv[1], NULL, 10) : 4096;
    uint64_t ms                         = argc > 2 ? strtoul(argv[2], NULL, 10) : 300;
    static char const *const backends[] = {"portable", "avx2", "avx512"};
    static size_t const lengths[]       = {32, 64, 110, 135, 136, 532};
    if (cnt == 0) {
        fprintf(stderr, "usage: %s [INPUTS_PER_BATCH [MILLISECONDS_PER_FIGURE]]\n", argv[0]);
        return 2;
    }
    sha3     = EVP_MD_fetch(NULL, "SHA3-256", NULL);
    sha3_ctx = EVP_MD_CTX_new();
    COH_ASSERT(sha3 != NULL && sha3_ctx != NULL);
    coh_rng_t rng;
    coh_rng_seed(&rng, 1);
    size_t room   = lengths[COH_CNT(lengths) - 1];
    uint8_t *text = coh_calloc(cnt, room);
    for (size_t i = 0; i < cnt * room; i++) {
        text[i] = (uint8_t)coh_rng_next(&rng);
    }
    batch_t batch = {
        coh_calloc(cnt, sizeof(coh_hash_t)), coh_calloc(cnt, sizeof(coh_bytes_t)), cnt};
    printf("{\"bench\":\"keccak\",\"default\":\"%s\",\"batch\":%zu,\"ns_per_input\":[",
           coh_keccak_backend(),
           cnt);
    for (size_t k = 0; k < COH_CNT(lengths); k++) {
        for (size_t i = 0; i < cnt; i++) {
            batch.in[i] = coh_bytes(text + i * room, lengths[k]);
        }
        printf("%s{\"bytes\":%zu,\"openssl_sha3\":%.0f",
               k == 0 ? "" : ",",
               lengths[k],
               measure(&batch, openssl, ms));
        for (size_t b = 0; b < COH_CNT(backends); b++) {
            if (coh_keccak_force_backend(backends[b])) {
                if (b < 2) {
                    printf(",\"single_%s\":%.0f",
                           b == 0 ? "plain" : "bmi",
                           measure(&batch, single, ms));
                }
                if (b > 0) {
                    printf(",\"many_%s\":%.0f", backends[b], measure(&batch, many, ms));
                }
            }
        }
        printf("}");
    }
    printf("]}\n");
    EVP_MD_CTX_free(sha3_ctx);
    EVP_MD_free(sha3);
    free(text);
    free(batch.out);
    free(batch.in);
    return 0;
}
