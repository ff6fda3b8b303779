// SPDX-License-Identifier: UNLICENSED
pragma solidity ^0.8.0;

/// Remembers numbers and can be killed. Before Cancun that clears its storage; from Cancun on only in the transaction
/// that created it (EIP-6780).
contract SelfDestruct {
    mapping(uint256 => uint256) public numbers;
    uint256 public count;

    constructor() payable {}

    receive() external payable {}

    function remember(uint256 number) external {
        numbers[count] = number;
        count++;
    }

    function kill(address payable heir) external {
        selfdestruct(heir);
    }
}
