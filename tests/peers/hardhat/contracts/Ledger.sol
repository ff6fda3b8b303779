// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// Numbers by account, in a mapping, behind a slot for their sum; and children that it makes.
contract Ledger {
    uint256 public sum;
    mapping(address => uint256) public amountOf;
    Child[] public children;
    event Added(address indexed who, uint256 amount);

    function add(uint256 amount) external {
        amountOf[msg.sender] += amount;
        sum += amount;
        emit Added(msg.sender, amount);
    }

    function spawn() external {
        children.push(new Child{salt: bytes32(children.length)}());
    }

    function childAt(uint256 i) external view returns (address) {
        return address(children[i]);
    }

    function hashOf(uint256 number) external view returns (bytes32) {
        return blockhash(number);
    }

    function clock() external view returns (uint256, uint256) {
        return (block.number, block.timestamp);
    }
}

contract Child {
    uint256 public pings;

    function ping() external {
        pings++;
    }
}
