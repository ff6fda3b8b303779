// SPDX-License-Identifier: UNLICENSED
pragma solidity ^0.8.24;

/// Conway's Life on a torus of 16 x 16 cells, a board for each player in one word: bit 16 y + x is the cell at (x, y).
/// Nearly all of its cost is a loop without state.
contract Game {
    mapping(address => uint256) public boards;
    mapping(address => uint256) public generations;

    event Played(address indexed player, uint256 generation, uint256 board);

    function set(uint256 board) external {
        boards[msg.sender] = board;
        generations[msg.sender] = 0;
    }

    function play(uint256 steps) external returns (uint256 board) {
        board = boards[msg.sender];
        for (uint256 i = 0; i < steps; i++) {
            board = step(board);
        }
        boards[msg.sender] = board;
        uint256 generation = generations[msg.sender] + steps;
        generations[msg.sender] = generation;
        emit Played(msg.sender, generation, board);
    }

    function step(uint256 board) public pure returns (uint256 next) {
        unchecked {
            for (uint256 y = 0; y < 16; y++) {
                for (uint256 x = 0; x < 16; x++) {
                    uint256 alive = neighbours(board, x, y);
                    if (alive == 3 || (alive == 2 && cell(board, x, y) == 1)) {
                        next |= 1 << (16 * y + x);
                    }
                }
            }
        }
    }

    function neighbours(uint256 board, uint256 x, uint256 y) private pure returns (uint256 sum) {
        unchecked {
            for (uint256 dy = 15; dy < 18; dy++) {
                for (uint256 dx = 15; dx < 18; dx++) {
                    sum += cell(board, (x + dx) & 15, (y + dy) & 15);
                }
            }
            sum -= cell(board, x, y);
        }
    }

    function cell(uint256 board, uint256 x, uint256 y) private pure returns (uint256) {
        unchecked {
            return (board >> (16 * y + x)) & 1;
        }
    }
}
