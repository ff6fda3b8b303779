/* keccak_permute.h: Keccak-f[1600] (Yellow Paper, Appendix D; FIPS 202 section 3), written once
   and instantiated by keccak.c for each width: one state in 64-bit words, four in AVX2 vectors,
   eight in AVX-512 vectors. Not a header in the usual sense: each inclusion defines one function
   from the parameters

   KECCAK_NAME     its name KECCAK_TARGET   attributes that enable the instructions KECCAK_LANE
   type that holds one word of each state KECCAK_LOAD(i), KECCAK_STORE(i, v)   word i of all
   states, from and to uint64_t *st KECCAK_XOR(a, b), KECCAK_XOR3(a, b, c), KECCAK_ROL(a, n)
   KECCAK_CHI(a, b, c)   a ^ (~b & c) KECCAK_RC(v)          the constant v in every state

   and removes them. Two rounds per turn, from a to e and back, so that no word is moved; all
   indices are constant, so that the arrays live in registers as far as there are any. */

/* Row y of the next state: source words and rotations as pi and rho give them. */
#define KECCAK_ROW(e, a, y, s0, n0, s1, n1, s2, n2, s3, n3, s4, n4)      \
    do {                                                                 \
        KECCAK_LANE b0 = KECCAK_ROL(KECCAK_XOR(a[s0], d[(s0) % 5]), n0); \
        KECCAK_LANE b1 = KECCAK_ROL(KECCAK_XOR(a[s1], d[(s1) % 5]), n1); \
        KECCAK_LANE b2 = KECCAK_ROL(KECCAK_XOR(a[s2], d[(s2) % 5]), n2); \
        KECCAK_LANE b3 = KECCAK_ROL(KECCAK_XOR(a[s3], d[(s3) % 5]), n3); \
        KECCAK_LANE b4 = KECCAK_ROL(KECCAK_XOR(a[s4], d[(s4) % 5]), n4); \
        e[5 * (y)]     = KECCAK_CHI(b0, b1, b2);                         \
        e[5 * (y) + 1] = KECCAK_CHI(b1, b2, b3);                         \
        e[5 * (y) + 2] = KECCAK_CHI(b2, b3, b4);                         \
        e[5 * (y) + 3] = KECCAK_CHI(b3, b4, b0);                         \
        e[5 * (y) + 4] = KECCAK_CHI(b4, b0, b1);                         \
    } while (0)

#define KECCAK_COLUMN(a, x) \
    KECCAK_XOR3(KECCAK_XOR3(a[x], a[(x) + 5], a[(x) + 10]), a[(x) + 15], a[(x) + 20])

#define KECCAK_ROUND(e, a, rc)                                     \
    do {                                                           \
        KECCAK_LANE c[5], d[5];                                    \
        c[0] = KECCAK_COLUMN(a, 0);                                \
        c[1] = KECCAK_COLUMN(a, 1);                                \
        c[2] = KECCAK_COLUMN(a, 2);                                \
        c[3] = KECCAK_COLUMN(a, 3);                                \
        c[4] = KECCAK_COLUMN(a, 4);                                \
        d[0] = KECCAK_XOR(c[4], KECCAK_ROL(c[1], 1));              \
        d[1] = KECCAK_XOR(c[0], KECCAK_ROL(c[2], 1));              \
        d[2] = KECCAK_XOR(c[1], KECCAK_ROL(c[3], 1));              \
        d[3] = KECCAK_XOR(c[2], KECCAK_ROL(c[4], 1));              \
        d[4] = KECCAK_XOR(c[3], KECCAK_ROL(c[0], 1));              \
        KECCAK_ROW(e, a, 0, 0, 0, 6, 44, 12, 43, 18, 21, 24, 14);  \
        e[0] = KECCAK_XOR(e[0], KECCAK_RC(rc));                    \
        KECCAK_ROW(e, a, 1, 3, 28, 9, 20, 10, 3, 16, 45, 22, 61);  \
        KECCAK_ROW(e, a, 2, 1, 1, 7, 6, 13, 25, 19, 8, 20, 18);    \
        KECCAK_ROW(e, a, 3, 4, 27, 5, 36, 11, 10, 17, 15, 23, 56); \
        KECCAK_ROW(e, a, 4, 2, 62, 8, 55, 14, 39, 15, 41, 21, 2);  \
    } while (0)

#define KECCAK_EACH_WORD(X)                                                                   \
    X(0)                                                                                      \
    X(1)                                                                                      \
    X(2)                                                                                      \
    X(3)                                                                                      \
    X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) \
        X(20) X(21) X(22) X(23) X(24)

KECCAK_TARGET static void KECCAK_NAME(uint64_t *st)
{
    KECCAK_LANE a[25], e[25];
#define KECCAK_LOAD_WORD(i) a[i] = KECCAK_LOAD(i);
    KECCAK_EACH_WORD(KECCAK_LOAD_WORD)
#undef KECCAK_LOAD_WORD
    for (size_t round = 0; round < COH_CNT(round_constants); round += 2) {
        KECCAK_ROUND(e, a, round_constants[round]);
        KECCAK_ROUND(a, e, round_constants[round + 1]);
    }
#define KECCAK_STORE_WORD(i) KECCAK_STORE(i, a[i]);
    KECCAK_EACH_WORD(KECCAK_STORE_WORD)
#undef KECCAK_STORE_WORD
}

#undef KECCAK_EACH_WORD
#undef KECCAK_ROUND
#undef KECCAK_COLUMN
#undef KECCAK_ROW
#undef KECCAK_NAME
#undef KECCAK_TARGET
#undef KECCAK_LANE
#undef KECCAK_LOAD
#undef KECCAK_STORE
#undef KECCAK_XOR
#undef KECCAK_XOR3
#undef KECCAK_ROL
#undef KECCAK_CHI
#undef KECCAK_RC
