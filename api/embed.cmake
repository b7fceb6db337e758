# Turns FROM into C text at TO: OPENAPI_JSON and OPENAPI_JSON_BYTES of api/openapi.h.
file(READ ${FROM} bytes HEX)
string(LENGTH "${bytes}" digits)
math(EXPR count "${digits} / 2")
string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" bytes "${bytes}")
file(WRITE ${TO} "#include \"api/openapi.h\"\n\nconst uint8_t OPENAPI_JSON[] = {\n${bytes}\n};\nconst size_t OPENAPI_JSON_BYTES = ${count};\n")
