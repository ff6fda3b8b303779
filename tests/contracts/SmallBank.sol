// SPDX-License-Identifier: UNLICENSED
pragma solidity ^0.8.24;

/// The SmallBank workload: customers by number, each with a savings and a checking account. A check may be drawn beyond
/// what is there, for a penalty of 1; everything else needs funds.
contract SmallBank {
    mapping(uint256 => int256) public savings;
    mapping(uint256 => int256) public checking;

    error Insufficient(uint256 customer, int256 funds, int256 needed);
    error Negative(int256 amount);

    modifier notNegative(int256 amount) {
        if (amount < 0) revert Negative(amount);
        _;
    }

    function open(uint256 customer, int256 inSavings, int256 inChecking)
        external
        notNegative(inSavings)
        notNegative(inChecking)
    {
        savings[customer] = inSavings;
        checking[customer] = inChecking;
    }

    function balance(uint256 customer) public view returns (int256) {
        return savings[customer] + checking[customer];
    }

    function depositChecking(uint256 customer, int256 amount) external notNegative(amount) {
        checking[customer] += amount;
    }

    /// Adds amount, which may be negative, to savings.
    function transactSavings(uint256 customer, int256 amount) external {
        int256 funds = savings[customer];
        if (funds + amount < 0) revert Insufficient(customer, funds, -amount);
        savings[customer] = funds + amount;
    }

    function sendPayment(uint256 from, uint256 to, int256 amount) external notNegative(amount) {
        int256 funds = checking[from];
        if (funds < amount) revert Insufficient(from, funds, amount);
        checking[from] = funds - amount;
        checking[to] += amount;
    }

    function writeCheck(uint256 customer, int256 amount) external notNegative(amount) {
        int256 fee = balance(customer) < amount ? int256(1) : int256(0);
        checking[customer] -= amount + fee;
    }

    /// Moves all that from has into the checking account of to.
    function amalgamate(uint256 from, uint256 to) external {
        int256 all = balance(from);
        savings[from] = 0;
        checking[from] = 0;
        checking[to] += all;
    }
}
