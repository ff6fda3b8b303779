# embed.cmake: writes the bytes of file IN as the C array NAME, of NAME_sz bytes, to OUT.   cmake -DIN=... -DOUT=... -DNAME=... -P embed.cmake
file(READ ${IN} bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE ${OUT} "#include <stddef.h>\n#include <stdint.h>\nextern uint8_t const ${NAME}[];\nextern size_t const ${NAME}_sz;\nuint8_t const ${NAME}[] = {\n${bytes}};\nsize_t const ${NAME}_sz = sizeof(${NAME});\n")
