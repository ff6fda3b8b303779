#include "common/base/utf8.h"

size_t coh_utf8_len(uint8_t const *p, size_t n)
{
    static struct {
        uint8_t first, last, low, high; /* of the first octet, and of the second */
        size_t n;
    } const forms[] = {
        {0x00, 0x7f, 0, 0, 1},
        {0xc2, 0xdf, 0x80, 0xbf, 2},
        {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3},
        {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4},
        {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t f = 0; f < COH_CNT(forms); f++) {
        if (p[0] < forms[f].first || p[0] > forms[f].last) {
            continue;
        }
        if (forms[f].n > n || (forms[f].n > 1 && (p[1] < forms[f].low || p[1] > forms[f].high))) {
            return 0;
        }
        for (size_t i = 2; i < forms[f].n; i++) {
            if ((p[i] & 0xc0) != 0x80) {
                return 0;
            }
        }
        return forms[f].n;
    }
    return 0;
}
