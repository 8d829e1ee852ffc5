"""What Chromium 156 shows of each picture in ``swatches``: sixteen patches in reading order, red, green and blue of each.

Read from its screen, in sRGB and on white; ``make test-outside`` compares it with the Chromium at hand.
"""

SEEN: dict[str, str] = {
    "png":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "png gamma 1":
        "000000ffffffbcbcbc383838606060898989e5e5e5ff000000ff000000ffe57a7a7ae57a7a7ae54f8538f8e5db260000",
    "png gamma 1/1.8":
        "000000ffffff9292920a0a0a282828515151d2d2d2ff000000ff000000ffd2414141d2414141d21a4d0af3d2c1030000",
    "png gamma 1/2.2":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "png gamma nearly 1/2.2":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "png gamma not quite 1/2.2":
        "000000ffffff7c7c7c020202141414393939c7c7c7ff000000ff000000ffc72a2a2ac72a2a2ac7093402f0c7b2000000",
    "png gamma 0":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "png gamma too late":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "png gamma twice":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "png gamma and sRGB":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "png gamma and sRGB of an unknown intent":
        "000000ffffffbcbcbc383838606060898989e5e5e5ff000000ff000000ffe57a7a7ae57a7a7ae54f8538f8e5db260000",
    "png chromaticities alone":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "png chromaticities of sRGB":
        "000000ffffff8181810303031818183e3e3ec9c9c9ff000000ff000000ffc92e2e2ec92e2e2ec90c3903f0c9b5010000",
    "png chromaticities of Adobe RGB":
        "000000ffffff8181810303031818183e3e3ec9c9c9ff000000ff000000ffe82e2e00c90c2e2ecd003900fec9b5010000",
    "png chromaticities, linear":
        "000000ffffffbcbcbc383838606060898989e5e5e5ff000000ff000000ffff7a7a00e5737a7ae8228531ffe5da2e0000",
    "png chromaticities of nothing":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "png profile P3":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffda182800cc003232d0003d00f8c6b1060000",
    "png profile linear":
        "000000ffffffbcbcbc383838606060898989e5e5e5ff000000ff000000ffe57a7a7ae57a7a7ae54f8538f8e5db260000",
    "png profile linear, gamma 1/2.2 and sRGB":
        "000000ffffffbcbcbc383838606060898989e5e5e5ff000000ff000000ffe57a7a7ae57a7a7ae54f8538f8e5db260000",
    "png profile of sRGB, gamma 1":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "png profile uneven":
        "000000ffffffbc8181380303601818893e3ee5c9c9ff000000ff000000ffe52e2e7ac92e7a2ec94f3903f8c9b6260000",
    "png profile with a table":
        "1a1c1ce0e2e27677782122222e2f30454747b0b2b3a3001600a33e0034a695433a409056004a922c3c2ad1b4a51d1c1c",
    "png profile broken":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "png profile broken, gamma 1":
        "000000ffffffbcbcbc383838606060898989e5e5e5ff000000ff000000ffe57a7a7ae57a7a7ae54f8538f8e5db260000",
    "png profile of greys, gamma 1":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "png profile of print, gamma 1":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "png code points P3":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffda182800cc003232d0003d00f8c6b1060000",
    "png code points before a profile":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "png code points linear":
        "000000ffffffbcbcbc383838606060898989e5e5e5ff000000ff000000ffe57a7a7ae57a7a7ae54f8538f8e5db260000",
    "png code points of television":
        "000000ffffff797979010101121212353636c5c5c5ff000000ff000000fff5001a00d0000021cf003400ffbfac000000",
    "png code points of film":
        "000000ffffff7676760101010d0d0d303030c8c8c8ff000000ff000000ffe4000c00ce001c10cf002e00ffc6ae000000",
    "png code points of SMPTE 240M":
        "000000ffffff8d8d8d191919303030515151cececef824003ffb001a23ffc94a4353cb424749cf294c19f0cfbc0f0000",
    "png code points of XYZ":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff004700ff000038ffff004900ff000041d4005100ff90b40f0000",
    "png code points of a part of the range, gamma 1":
        "000000ffffffbcbcbc383838606060898989e5e5e5ff000000ff000000ffe57a7a7ae57a7a7ae54f8538f8e5db260000",
    "png code points unknown, gamma 1":
        "000000ffffffbcbcbc383838606060898989e5e5e5ff000000ff000000ffe57a7a7ae57a7a7ae54f8538f8e5db260000",
    "png alpha, gamma 1":
        "878787ffffffdfdfdfa1a1a1b4b4b4c8c8c8f3f3f3ff878787ff878787fff3c1c1c1f3c1c1c1f3acc6a1fcf3ee998787",
    "png alpha, code points P3":
        "878787ffffffc3c3c38c8c8c959595a5a5a5e5e5e5ff878787ff878787ffee929a87e7879f9fe987a487fce4da8a8787",
    "png grey":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8000000ffffff000000323232c8c8c83232323c3c3cc8c8c8000000",
    "png grey, gamma 1":
        "000000ffffffbcbcbc383838606060898989e5e5e5000000ffffff0000007a7a7ae5e5e57a7a7a858585e5e5e5000000",
    "png grey, profile linear":
        "000000ffffffbcbcbc383838606060898989e5e5e5000000ffffff0000007a7a7ae5e5e57a7a7a858585e5e5e5000000",
    "png grey, profile 1.8":
        "000000ffffff9292920a0a0a282828515151d2d2d2000000ffffff000000414141d2d2d24141414d4d4dd2d2d2000000",
    "png grey, profile as sRGB":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8000000ffffff000000323232c8c8c83232323c3c3cc8c8c8000000",
    "png grey, profile of colours":
        "000000ffffffbcbcbc383838606060898989e5e5e5000000ffffff0000007a7a7ae5e5e57a7a7a858585e5e5e5000000",
    "png grey, PQ":
        "000000ffffff8484840000000404041e1e1effffff000000ffffff000000111111ffffff1111111a1a1affffff000000",
    "png grey, HLG":
        "000000ffffff6363630101010d0d0d2b2b2bcacaca000000ffffff0000001e1e1ecacaca1e1e1e272727cacaca000000",
    "png grey and alpha, gamma 1":
        "373737ffffffcacaca636363838383a3a3a3ebebeb373737ffffff373737979797ebebeb9797979f9f9febebeb373737",
    "png grey and alpha, profile linear":
        "373737ffffffcacaca636363828382a3a3a3ebebeb373737ffffff373737979797ebebeb9797979f9f9febebeb373737",
    "png grey of 1 bit, one transparent":
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "png grey of 2 bits, one transparent":
        "000000555555ffffffffffff000000555555ffffffffffff000000555555ffffffffffff000000555555ffffffffffff",
    "png grey of 4 bits, one transparent":
        "000000111111222222333333444444555555666666ffffff888888999999aaaaaabbbbbbccccccddddddeeeeeeffffff",
    "png grey of 4 bits, none of them transparent":
        "000000111111222222333333444444555555666666777777888888999999aaaaaabbbbbbccccccddddddeeeeeeffffff",
    "png grey, one transparent":
        "000000ffffffffffff0a0a0a1e1e1e404040c8c8c8000000ffffff000000323232c8c8c83232323c3c3cc8c8c8000000",
    "png grey, one transparent, profile linear":
        "000000ffffffffffff383838606060898989e5e5e5000000ffffff0000007a7a7ae5e5e57a7a7a858585e5e5e5000000",
    "png grey of 16 bits, gamma 1":
        "0000000d0d0d0d0d0db4b4b4b4b4b4b4b4b4b4b4b4cdcdcdffffff4949497a7a7a383838606060898989e5e5e5f6f6f6",
    "png grey of 16 bits, one transparent":
        "000000010101010101ffffff7575757575757575759c9c9cffffff1111113232320a0a0a1e1e1e404040c8c8c8eaeaea",
    "png grey of 16 bits, one transparent, gamma 1":
        "0000000d0d0d0d0d0dffffffb4b4b4b4b4b4b4b4b4cdcdcdffffff4949497a7a7a383838606060898989e5e5e5f6f6f6",
    "png 16 bits, gamma 1":
        "0000000d0d0d0d0d0db4b4b4b4b4b4b4b4b4b4b4b4cdcdcdffffff4949497a7a7a383838606060898989e5e5e5f6f6f6",
    "png 16 bits, one transparent":
        "000000010101010101ffffff7575757575757575759c9c9cffffff1111113232320a0a0a1e1e1e404040c8c8c8eaeaea",
    "png one transparent":
        "000000ffffffffffff0a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "png one transparent, gamma 1":
        "000000ffffffffffff383838606060898989e5e5e5ff000000ff000000ffe57a7a7ae57a7a7ae54f8538f8e5db260000",
    "png palette, gamma 1":
        "000000ffffffbcbcbc383838606060898989e5e5e5ff000000ff000000ffe57a7a7ae57a7a7ae54f8538f8e5db260000",
    "png palette before gamma 1":
        "000000ffffffbcbcbc383838606060898989e5e5e5ff000000ff000000ffe57a7a7ae57a7a7ae54f8538f8e5db260000",
    "png palette before code points":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "png palette, some transparent, profile P3":
        "000000ffffffffffff8484841e1e1e404040c8c8c8ff000000ff000000ffda182800cc003232d0003d00f8c6b1060000",
    "png palette after transparency":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "jpeg":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8fe000000ff010000fec8323332c8313232c8143c0af1c8b4040000",
    "jpeg profile P3":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffda182900cc003232d0003d00f9c6b1050000",
    "jpeg profile P3, of an odd class":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffda182900cc003232d0003d00f9c6b1050000",
    "jpeg profile P3, version 2":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffda182900cc003232d0003d00f9c6b1050000",
    "jpeg profile P3, version 5":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8fe000000ff010000fec8323332c8313232c8143c0af1c8b4040000",
    "jpeg profile P3, cut off":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8fe000000ff010000fec8323332c8313232c8143c0af1c8b4040000",
    "jpeg profile P3, and more":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffda182900cc003232d0003d00f9c6b1050000",
    "jpeg profile without curves":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8fe000000ff010000fec8323332c8313232c8143c0af1c8b4040000",
    "jpeg profile with a wrong curve":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8fe000000ff010000fec8323332c8313232c8143c0af1c8b4040000",
    "jpeg profile linear":
        "000000ffffffbcbcbc383838606060898989e5e5e5ff000000ff0d0000ffe57a7c7ae5797a7ae54f8538f9e5db220000",
    "jpeg profile with a table":
        "1a1c1ce0e2e27677782122222e2f30454747b0b2b3a2001600a33f0033a695433b409056004a922c3c2ad2b4a51d1c1c",
    "jpeg profile of Lab":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8fe000000ff010000fec8323332c8313232c8143c0af1c8b4040000",
    "jpeg profile of greys":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8fe000000ff010000fec8323332c8313232c8143c0af1c8b4040000",
    "jpeg profile of print":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8fe000000ff010000fec8323332c8313232c8143c0af1c8b4040000",
    "jpeg profile that is none":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8fe000000ff010000fec8323332c8313232c8143c0af1c8b4040000",
    "jpeg grey, profile linear":
        "000000ffffffbcbcbc383838606060898989e5e5e5949494cacaca5f5f5fa4a4a4c2c2c28c8c8c717171eaeaea0d0d0d",
    "jpeg grey, profile of colours":
        "000000ffffffbcbcbc383838606060898989e5e5e5949494cacaca5f5f5fa4a4a4c2c2c28c8c8c717171eaeaea0d0d0d",
    "jpeg grey, profile uneven":
        "000000ffffffbc8181380303601818893e3ee5c9c9944b4bca97975f1717a45f5fc28b8b8c4141712626ead3d30d0000",
    "jpeg grey, profile over Lab":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c84c4c4c9696961d1d1d5f5f5f8a8a8a4343432a2a2ad2d2d2010101",
    "jpeg grey, profile with a table":
        "000001fcfeff7677780c0e0f1e1f203a3c3cc0c2c24546478c8d8e1d1e1f5658588081823d3e3f282929cbcccd000203",
    "jpeg print":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "jpeg print, brightness and hue":
        "000000ffffff8080800a0a0a1e1e1e404040c9c9c9ff000101ff010200ffc8323334c8343333c9163c0bf1c8b6060002",
    "jpeg print, profile":
        "1a1c1ce0e2e27677782122222e2f30454747b0b2b3a3001600a33e0034a695433a409056004a922c3c2ad1b4a51d1c1c",
    "jpeg print, profile version 4":
        "1a1c1ce0e2e27677782122222e2f30454747b0b2b3a3001600a33e0034a695433a409056004a922c3c2ad1b4a51d1c1c",
    "jpeg print, profile of colours":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "jpeg print, profile that is none":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "webp profile P3":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffda182800cc003232d0003d00f8c6b1060000",
    "webp profile linear":
        "000000ffffffbcbcbc383838606060898989e5e5e5ff000000ff000000ffe57a7a7ae57a7a7ae54f8538f8e5db260000",
    "webp profile of sRGB":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "webp profile with a table":
        "1a1c1ce0e2e27677782122222e2f30454747b0b2b3a3001600a33e0034a695433a409056004a922c3c2ad1b4a51d1c1c",
    "webp profile of greys":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "webp profile that is none":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "apng":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "apng behind a picture":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
    "apng behind a picture, a part":
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffc8323232c832fffffffffffff0c8b4050000",
    "apng behind a picture, gamma 1":
        "000000ffffffbcbcbc383838606060898989e5e5e5ff000000ff000000ffe57a7a7ae57a7a7ae54f8538f8e5db260000",
    "apng gamma 1":
        "000000ffffffbcbcbc383838606060898989e5e5e5ff000000ff000000ffe57a7a7ae57a7a7ae54f8538f8e5db260000",
    "apng profile linear":
        "000000ffffffbcbcbc383838606060898989e5e5e5ff000000ff000000ffe57a7a7ae57a7a7ae54f8538f8e5db260000",
    "apng profile P3, behind a picture":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffda182800cc003232d0003d00f8c6b1060000",
    "webp moving, profile linear":
        "000000ffffff8080800a0a0a1e1e1e404040c8c8c8ff000000ff000000ffc8323232c8323232c8143c0af0c8b4050000",
}  # fmt: skip
