#include "tests/support/evmasm.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/u256.h"
#include "common/evm/opcodes.h"
#include "tests/support/data.h"

enum { LABEL_CNT = 32, WORD_SZ = 160 };

typedef struct {
    char name[WORD_SZ];
    size_t at; /* of a definition its JUMPDEST, of a use its two octets */
} label_t;

typedef struct {
    label_t of[LABEL_CNT];
    size_t cnt;
} labels_t;

static void add_label(labels_t *labels, char const *name, size_t len, size_t at)
{
    COH_ASSERT(labels->cnt < LABEL_CNT && len < WORD_SZ);
    label_t *l = &labels->of[labels->cnt++];
    memcpy(l->name, name, len);
    l->name[len] = '\0';
    l->at        = at;
}

static void put_push(coh_buf_t *out, char const *number, size_t width)
{
    coh_u256_t v;
    COH_ASSERT(coh_u256_parse(&v, number, strlen(number)) == COH_OK);
    uint8_t text[32];
    coh_u256_store_be(text, &v);
    size_t n = coh_u256_be_len(&v);
    n        = width != 0 ? width : COH_MAX(n, (size_t)1);
    coh_buf_put_u8(out, (uint8_t)(COH_OP_PUSH0 + n));
    coh_buf_put(out, text + 32 - n, n);
}

static unsigned opcode_of(char const *name)
{
    for (unsigned b = 0; b < 256; b++) {
        char const *known = coh_opcode_name((uint8_t)b, COH_FORK_CNT);
        if (known != NULL && strcmp(known, name) == 0) {
            return b;
        }
    }
    fprintf(stderr, "no instruction is called %s\n", name);
    abort();
}

/* Copies the next word; false at the end. */
static bool next_word(char word[WORD_SZ], char const **text)
{
    *text += strspn(*text, " \n");
    size_t len = strcspn(*text, " \n");
    COH_ASSERT(len < WORD_SZ);
    memcpy(word, *text, len);
    word[len] = '\0';
    *text += len;
    return len != 0;
}

void coh_test_asm(coh_buf_t *out, char const *text)
{
    labels_t defined = {.cnt = 0}, used = {.cnt = 0};
    char word[WORD_SZ];
    coh_buf_clear(out);
    while (next_word(word, &text)) {
        size_t len = strlen(word);
        if (word[0] >= '0' && word[0] <= '9') {
            put_push(out, word, 0);
        } else if (word[0] == '.') {
            coh_buf_t octets = COH_BUF_INIT;
            COH_ASSERT(coh_test_hex(&octets, word + 1));
            coh_buf_put(out, octets.p, octets.n);
            coh_buf_free(&octets);
        } else if (word[0] == '@') {
            add_label(&used, word + 1, len - 1, out->n + 1);
            coh_buf_put(out, "\x61\0\0", 3);
        } else if (word[len - 1] == ':') {
            add_label(&defined, word, len - 1, out->n);
            coh_buf_put_u8(out, COH_OP_JUMPDEST);
        } else {
            unsigned opcode = opcode_of(word);
            if (opcode >= COH_OP_PUSH1 && opcode <= COH_OP_PUSH32) {
                COH_ASSERT(next_word(word, &text));
                put_push(out, word, opcode - COH_OP_PUSH0);
            } else {
                coh_buf_put_u8(out, (uint8_t)opcode);
            }
        }
    }
    for (size_t i = 0; i < used.cnt; i++) {
        size_t k = 0;
        while (k < defined.cnt && strcmp(defined.of[k].name, used.of[i].name) != 0) {
            k++;
        }
        COH_ASSERT(k < defined.cnt);
        out->p[used.of[i].at]     = (uint8_t)(defined.of[k].at >> 8);
        out->p[used.of[i].at + 1] = (uint8_t)defined.of[k].at;
    }
}
